// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A command as bash reads it: every program that it would start, found in the syntax tree.
//!
//! What `sudo`, `xargs`, `find -exec`, `sh -c` and their like start in turn is found too, so whoever looks at
//! a command sees all of it.

use std::ops::Range;

use tree_sitter::{Node, Parser};

/// Longest text that is looked at, in bytes.
pub(crate) const LONGEST: usize = 16 << 10;
/// How deep a text may be nested.
const DEEPEST: usize = 48;
/// How many programs may have been found before a text that is nested is read.
const MOST: usize = 1 << 10;

/// A word of a command.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Word {
    /// Where it stands in the whole text.
    pub(crate) span: Range<usize>,
    /// What it says, without its quotes; what is only known when it runs stands in it as it was written.
    pub(crate) text: String,
    /// Whether all of it is known before it runs.
    pub(crate) known: bool,
    /// Whether it stands for the names of files (`*`, `?`, `[`) or several words (`{a,b}`).
    pub(crate) pattern: bool,
    /// Whether any of it was quoted.
    pub(crate) quoted: bool,
}

impl Word {
    /// A word in the same place with another text.
    fn saying(&self, text: &str) -> Self {
        Self {
            text: text.into(),
            ..self.clone()
        }
    }
}

/// A file that a command's output or input is tied to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Redirect {
    pub(crate) operator: String,
    pub(crate) target: Word,
}

/// Who starts a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// The shell.
    Shell,
    /// Another program, once, with these words.
    Program,
    /// Another program, with words that come from its input or from what it found.
    Many,
}

/// One program that would be started, or one command of the shell itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    /// Where it stands in the whole text.
    pub(crate) span: Range<usize>,
    /// Its name and what it is told.
    pub(crate) words: Vec<Word>,
    pub(crate) redirects: Vec<Redirect>,
    pub(crate) by: By,
    /// Whether another user's rights are asked for, with `sudo` and the like.
    pub(crate) privileged: bool,
    /// The call whose output it reads, as an index into [`Script::calls`].
    pub(crate) reads: Option<usize>,
    /// Whether it reads anything but the terminal.
    pub(crate) piped: bool,
    /// Whether it only starts others, which are calls of their own.
    pub(crate) starts_others: bool,
}

impl Call {
    /// The program's name without its directory, if it is known.
    pub(crate) fn name(&self) -> Option<&str> {
        let word = self.words.first()?;
        (word.known && !word.pattern).then(|| base_name(&word.text))
    }

    /// What follows the name.
    pub(crate) fn operands(&self) -> &[Word] {
        self.words.get(1..).unwrap_or_default()
    }
}

/// A text as one word of a shell.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./+,:@%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// What is after the last `/`.
pub(crate) fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// All that a text would do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    /// Every call, in the order in which they are written; what a call starts follows it.
    pub(crate) calls: Vec<Call>,
    /// Functions that it defines: the name, where, and whether they call themselves.
    pub(crate) functions: Vec<(String, Range<usize>, bool)>,
    /// Assignments: the variable, and what it is set to if that is known.
    pub(crate) variables: Vec<(String, Option<String>)>,
    /// Where bash would not understand it, and why.
    pub(crate) errors: Vec<(Range<usize>, String)>,
}

/// Reads a text as bash does.
pub(crate) fn parse(text: &str) -> Script {
    let mut script = Script::default();
    let reader = Reader {
        text,
        offset: 0,
        at: None,
        by: By::Shell,
        privileged: false,
        script: &mut script,
    };
    reader.read(0, &Surroundings::default());
    script
}

/// What a node of the tree takes from the nodes around it.
#[derive(Clone, Default)]
struct Surroundings {
    /// Words of a command that stand behind its redirections.
    words: Vec<Word>,
    redirects: Vec<Redirect>,
    reads: Option<usize>,
    piped: bool,
}

/// What is found in redirections, to be looked at behind the command itself.
#[derive(Default)]
struct Parts<'n> {
    /// Words of the command.
    words: Vec<Word>,
    /// Texts in which something may be computed.
    nodes: Vec<Node<'n>>,
    /// What stands behind `<<E` on its line: `| sort`, `&& ls`.
    statements: Vec<Node<'n>>,
}

struct Reader<'r> {
    text: &'r str,
    /// Where the text stands in the whole: at this offset, or all of it at the place below.
    offset: usize,
    at: Option<&'r Range<usize>>,
    by: By,
    privileged: bool,
    script: &'r mut Script,
}

impl Reader<'_> {
    fn read(mut self, depth: usize, around: &Surroundings) {
        let whole = match self.at {
            Some(at) => at.clone(),
            None => self.offset..self.offset.saturating_add(self.text.len()),
        };
        let mut refuse = |what: String| self.script.errors.push((whole.clone(), what));
        if self.text.len() > LONGEST {
            return refuse(format!("it is longer than {LONGEST} bytes"));
        }
        if depth > DEEPEST {
            return refuse("it is nested too deep".into());
        }
        if depth > 0 && self.script.calls.len() > MOST {
            return refuse(format!("it starts more than {MOST} programs"));
        }
        let mut parser = Parser::new();
        let language = tree_sitter_bash::LANGUAGE.into();
        let tree = match parser.set_language(&language) {
            Ok(()) => parser.parse(self.text, None),
            Err(_) => None,
        };
        let Some(tree) = tree else {
            return refuse("it cannot be read".into());
        };
        self.errors(tree.root_node(), depth);
        self.visit(tree.root_node(), depth, around);
    }

    fn of(&self, node: Node<'_>) -> &str {
        self.text.get(node.byte_range()).unwrap_or_default()
    }

    fn span(&self, range: Range<usize>) -> Range<usize> {
        match self.at {
            Some(at) => at.clone(),
            None => self.offset + range.start..self.offset + range.end,
        }
    }

    fn errors(&mut self, node: Node<'_>, depth: usize) {
        if !node.has_error() {
            return;
        }
        if node.is_missing() {
            let what = format!("{:?} is missing", node.kind());
            let error = (self.span(node.byte_range()), what);
            self.script.errors.push(error);
        } else if node.is_error() || depth > DEEPEST {
            let near: String = self.of(node).chars().take(40).collect();
            let error = (
                self.span(node.byte_range()),
                format!("syntax error near {near:?}"),
            );
            self.script.errors.push(error);
            return;
        }
        let mut cursor = node.walk();
        for child in node.children(&mut cursor) {
            self.errors(child, depth + 1);
        }
    }

    fn visit(&mut self, node: Node<'_>, depth: usize, around: &Surroundings) {
        if depth > DEEPEST {
            let error = (self.span(node.byte_range()), "it is nested too deep".into());
            self.script.errors.push(error);
            return;
        }
        match node.kind() {
            "command" => self.command(node, depth, around),
            "redirected_statement" => self.redirected(node, depth, around),
            "pipeline" => self.pipeline(node, depth, around),
            "declaration_command" | "unset_command" | "test_command" => {
                self.builtin(node, depth, around);
            }
            "variable_assignment" => self.assignment(node, depth),
            "function_definition" => self.function(node, depth, around),
            _ => self.children(node, depth, around),
        }
    }

    fn children(&mut self, node: Node<'_>, depth: usize, around: &Surroundings) {
        let mut cursor = node.walk();
        for child in node.named_children(&mut cursor) {
            self.visit(child, depth + 1, around);
        }
    }

    fn redirected(&mut self, node: Node<'_>, depth: usize, around: &Surroundings) {
        let mut around = around.clone();
        let mut parts = Parts::default();
        let mut bodies = vec![];
        let mut cursor = node.walk();
        for child in node.named_children(&mut cursor) {
            match child.kind() {
                "file_redirect" | "herestring_redirect" | "heredoc_redirect" => {
                    self.redirect(child, &mut around, &mut parts);
                }
                _ => bodies.push(child),
            }
        }
        around.words.append(&mut parts.words);
        let begin = self.script.calls.len();
        if bodies.is_empty() {
            // A redirection of nothing makes or empties the file all the same.
            let words = std::mem::take(&mut around.words);
            self.call(node, words, depth, &around);
        }
        for body in bodies {
            self.visit(body, depth + 1, &around);
        }
        self.parts(&parts, begin, depth);
    }

    /// Takes a redirection apart. Words that stand behind its target are the command's.
    fn redirect<'n>(&self, node: Node<'n>, around: &mut Surroundings, parts: &mut Parts<'n>) {
        let mut cursor = node.walk();
        if node.kind() == "heredoc_redirect" {
            around.piped = true;
            for (at, child) in node.children(&mut cursor).enumerate() {
                match u32::try_from(at)
                    .ok()
                    .and_then(|at| node.field_name_for_child(at))
                {
                    Some("redirect") if child.kind() != "heredoc_redirect" => {
                        self.redirect(child, around, parts);
                    }
                    Some("argument") => {
                        parts.words.push(self.word(child));
                        parts.nodes.push(child);
                    }
                    _ if child.kind() == "heredoc_body" => parts.nodes.push(child),
                    _ => parts.statements.push(child),
                }
            }
            return;
        }
        let mut operator = String::new();
        let mut target = None;
        for child in node.children(&mut cursor) {
            if !child.is_named() {
                operator = self.of(child).into();
            } else if child.kind() != "file_descriptor" {
                let word = self.word(child);
                if target.is_none() {
                    target = Some(word);
                } else {
                    parts.words.push(word);
                }
                parts.nodes.push(child);
            }
        }
        if operator.starts_with('<') {
            around.piped = true;
        }
        if let Some(target) = target {
            around.redirects.push(Redirect { operator, target });
        }
    }

    /// What is computed in the parts of a call's redirections, and the statements that stand on their lines.
    fn parts(&mut self, parts: &Parts<'_>, call: usize, depth: usize) {
        for node in &parts.nodes {
            self.substitutions(*node, depth + 1);
        }
        let around = Surroundings {
            reads: (call < self.script.calls.len()).then_some(call),
            piped: true,
            ..Surroundings::default()
        };
        for statement in &parts.statements {
            self.visit(*statement, depth + 1, &around);
        }
    }

    fn pipeline(&mut self, node: Node<'_>, depth: usize, around: &Surroundings) {
        let mut cursor = node.walk();
        let mut around = around.clone();
        for child in node.named_children(&mut cursor) {
            let begin = self.script.calls.len();
            self.visit(child, depth + 1, &around);
            if self.script.calls.len() > begin {
                around.reads = Some(begin);
            }
            around.piped = true;
        }
    }

    fn builtin(&mut self, node: Node<'_>, depth: usize, around: &Surroundings) {
        let mut cursor = node.walk();
        let mut words = vec![];
        for child in node.children(&mut cursor) {
            if child.kind() == "variable_assignment" {
                self.assignment(child, depth + 1);
            }
            words.push(self.word(child));
        }
        if node.kind() == "test_command" {
            words.truncate(1);
            if let Some(word) = words.first_mut() {
                word.known = true;
                word.pattern = false;
                word.text = "test".into();
            }
        }
        self.push(node, words, around);
        let mut cursor = node.walk();
        for child in node.named_children(&mut cursor) {
            if child.kind() != "variable_assignment" {
                self.substitutions(child, depth + 1);
            }
        }
    }

    fn push(&mut self, node: Node<'_>, words: Vec<Word>, around: &Surroundings) {
        let call = Call {
            span: self.span(node.byte_range()),
            words,
            redirects: around.redirects.clone(),
            by: self.by,
            privileged: self.privileged,
            reads: around.reads,
            piped: around.piped,
            starts_others: false,
        };
        self.script.calls.push(call);
    }

    fn assignment(&mut self, node: Node<'_>, depth: usize) {
        let name = node.child_by_field_name("name").map(|name| self.of(name));
        let name = name.unwrap_or_default().to_owned();
        let value = node.child_by_field_name("value");
        let text = match value {
            Some(value) => Some(self.word(value))
                .filter(|word| word.known)
                .map(|word| word.text),
            None => Some(String::new()),
        };
        self.script.variables.push((name, text));
        if let Some(value) = value {
            self.substitutions(value, depth + 1);
        }
    }

    fn function(&mut self, node: Node<'_>, depth: usize, around: &Surroundings) {
        let name = node.child_by_field_name("name").map(|name| self.of(name));
        let name = name.unwrap_or_default().to_owned();
        let begin = self.script.calls.len();
        self.children(node, depth, around);
        let own = self.script.calls.get(begin..).unwrap_or_default();
        let recursive = own.iter().any(|call| call.name() == Some(name.as_str()));
        let span = self.span(node.byte_range());
        self.script.functions.push((name, span, recursive));
    }

    fn command(&mut self, node: Node<'_>, depth: usize, around: &Surroundings) {
        let mut around = around.clone();
        let behind = std::mem::take(&mut around.words);
        let mut words = vec![];
        let mut parts = Parts::default();
        let mut cursor = node.walk();
        for child in node.named_children(&mut cursor) {
            match child.kind() {
                "variable_assignment" => self.assignment(child, depth + 1),
                "file_redirect" | "herestring_redirect" | "heredoc_redirect" => {
                    self.redirect(child, &mut around, &mut parts);
                }
                _ => {
                    words.push(self.word(child));
                    parts.nodes.push(child);
                }
            }
        }
        words.append(&mut parts.words);
        words.extend(behind);
        let begin = self.script.calls.len();
        self.call(node, words, depth, &around);
        self.parts(&parts, begin, depth);
    }

    /// One command, and what it starts.
    fn call(&mut self, node: Node<'_>, words: Vec<Word>, depth: usize, around: &Surroundings) {
        let started = started(&words);
        self.script.variables.extend(assigned(&words));
        let index = self.script.calls.len();
        self.push(node, words, around);
        if let Some(call) = self.script.calls.get_mut(index) {
            call.starts_others = !matches!(started, Started::Nothing);
        }
        self.start(started, node, depth, around);
    }

    /// What is started by a call.
    fn start(&mut self, started: Started, node: Node<'_>, depth: usize, around: &Surroundings) {
        match started {
            Started::Nothing => {}
            Started::Words {
                lists,
                by,
                privileged,
            } => {
                for words in lists {
                    let by = if by == By::Many { by } else { self.by.max(by) };
                    let again = starts(&words, depth);
                    self.script.variables.extend(assigned(&words));
                    let call = Call {
                        span: match (words.first(), words.last()) {
                            (Some(first), Some(last)) => {
                                first.span.start..last.span.end.max(first.span.end)
                            }
                            _ => self.span(node.byte_range()),
                        },
                        words,
                        redirects: vec![],
                        by,
                        privileged: self.privileged || privileged,
                        reads: around.reads,
                        piped: around.piped,
                        starts_others: !matches!(again, Started::Nothing),
                    };
                    let was = (self.by, self.privileged);
                    (self.by, self.privileged) = (by, call.privileged);
                    self.script.calls.push(call);
                    self.start(again, node, depth + 1, around);
                    (self.by, self.privileged) = was;
                }
            }
            Started::Scripts { words, by } => {
                let by = if by == By::Many { by } else { self.by.max(by) };
                for word in words {
                    self.script(&word, by, depth, around);
                }
            }
        }
    }

    /// Reads what a word says as a script.
    fn script(&mut self, word: &Word, by: By, depth: usize, around: &Surroundings) {
        // One pair of quotes around a text that is the same inside: its places can be told.
        let inside = word.span.start + 1..word.span.end.saturating_sub(1);
        let local = (self.at.is_none())
            .then(|| {
                let range =
                    inside.start.checked_sub(self.offset)?..inside.end.checked_sub(self.offset)?;
                self.text.get(range)
            })
            .flatten();
        let same = local == Some(word.text.as_str());
        let span = word.span.clone();
        let reader = Reader {
            text: &word.text,
            offset: if same { inside.start } else { 0 },
            at: (!same).then_some(&span),
            by,
            privileged: self.privileged,
            script: self.script,
        };
        // It reads what the one that starts it reads.
        let around = Surroundings {
            reads: around.reads,
            piped: around.piped,
            ..Surroundings::default()
        };
        reader.read(depth + 1, &around);
    }

    /// Looks for commands in a word: `$(...)`, backquotes and `<(...)`.
    fn substitutions(&mut self, node: Node<'_>, depth: usize) {
        if depth > DEEPEST {
            let error = (self.span(node.byte_range()), "it is nested too deep".into());
            self.script.errors.push(error);
            return;
        }
        match node.kind() {
            "command_substitution" | "process_substitution" => {
                let around = Surroundings {
                    piped: self.of(node).starts_with(">("),
                    ..Surroundings::default()
                };
                self.children(node, depth + 1, &around);
            }
            _ => {
                let mut cursor = node.walk();
                for child in node.named_children(&mut cursor) {
                    self.substitutions(child, depth + 1);
                }
            }
        }
    }

    fn word(&self, node: Node<'_>) -> Word {
        let mut word = Word {
            span: self.span(node.byte_range()),
            text: String::new(),
            known: true,
            pattern: false,
            quoted: false,
        };
        self.append(node, 0, &mut word);
        // `{a,b}` becomes two words: what the first is, nobody has written.
        if !word.quoted && word.text.contains('{') && word.text.contains(',') {
            word.pattern = true;
        }
        word
    }

    fn append(&self, node: Node<'_>, depth: usize, word: &mut Word) {
        let raw = self.of(node);
        match node.kind() {
            "command_name" | "concatenation" if depth < DEEPEST => {
                let mut cursor = node.walk();
                let mut at = node.start_byte();
                for child in node.children(&mut cursor) {
                    // The grammar leaves some characters to no node.
                    word.text
                        .push_str(self.text.get(at..child.start_byte()).unwrap_or_default());
                    self.append(child, depth + 1, word);
                    at = child.end_byte();
                }
                word.text
                    .push_str(self.text.get(at..node.end_byte()).unwrap_or_default());
            }
            "raw_string" => {
                word.quoted = true;
                let inside = raw
                    .strip_prefix('\'')
                    .and_then(|raw| raw.strip_suffix('\''));
                word.text.push_str(inside.unwrap_or(raw));
            }
            "ansi_c_string" => {
                word.quoted = true;
                let inside = raw
                    .strip_prefix("$'")
                    .and_then(|raw| raw.strip_suffix('\''));
                word.text.push_str(&ansi_c(inside.unwrap_or(raw)));
            }
            "translated_string" | "string" if depth < DEEPEST => {
                word.quoted = true;
                let begin = raw.find('"').map_or(0, |at| at + 1) + node.start_byte();
                let end = node.end_byte().saturating_sub(1).max(begin);
                let mut at = begin;
                let mut cursor = node.walk();
                let mut parts: Vec<_> = node.named_children(&mut cursor).collect();
                if let [inner] = parts[..] {
                    if inner.kind() == "string" {
                        self.append(inner, depth + 1, word);
                        return;
                    }
                }
                parts.retain(|part| part.kind() != "string_content");
                for part in parts {
                    let before = self.text.get(at..part.start_byte()).unwrap_or_default();
                    word.text.push_str(&unescape(before, "\"\\$`"));
                    self.append(part, depth + 1, word);
                    at = part.end_byte();
                }
                let rest = self.text.get(at..end).unwrap_or_default();
                word.text.push_str(&unescape(rest, "\"\\$`"));
            }
            "simple_expansion"
            | "expansion"
            | "command_substitution"
            | "process_substitution"
            | "arithmetic_expansion" => {
                word.known = false;
                word.text.push_str(raw);
            }
            "brace_expression" => {
                word.pattern = true;
                word.text.push_str(raw);
            }
            "array" => {
                word.known = false;
                word.text.push_str(raw);
            }
            _ => {
                let mut escaped = false;
                for character in raw.chars() {
                    match character {
                        '\\' if !escaped => {
                            escaped = true;
                            word.quoted = true;
                            continue;
                        }
                        // A line that goes on.
                        '\n' if escaped => {}
                        '*' | '?' | '[' if !escaped => {
                            word.pattern = true;
                            word.text.push(character);
                        }
                        _ => word.text.push(character),
                    }
                    escaped = false;
                }
            }
        }
    }
}

impl By {
    fn max(self, other: Self) -> Self {
        match (self, other) {
            (Self::Many, _) | (_, Self::Many) => Self::Many,
            (Self::Program, _) | (_, Self::Program) => Self::Program,
            _ => Self::Shell,
        }
    }
}

/// Takes the backslashes off the characters before which they mean something.
fn unescape(text: &str, characters: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match (character, rest.peek()) {
            ('\\', Some('\n')) => drop(rest.next()),
            ('\\', Some(next)) if characters.contains(*next) => out.extend(rest.next()),
            _ => out.push(character),
        }
    }
    out
}

/// What `$'...'` says.
fn ansi_c(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        let mut number = |radix: u32, most: usize| {
            let mut digits = String::new();
            while digits.len() < most && rest.peek().is_some_and(|digit| digit.is_digit(radix)) {
                digits.extend(rest.next());
            }
            u32::from_str_radix(&digits, radix)
                .ok()
                .and_then(char::from_u32)
        };
        // The digits of a number, or one character.
        let Some(next) = number(8, 3).map(Ok).or_else(|| rest.next().map(Err)) else {
            break;
        };
        let mut number = |radix: u32, most: usize| {
            let mut digits = String::new();
            while digits.len() < most && rest.peek().is_some_and(|digit| digit.is_digit(radix)) {
                digits.extend(rest.next());
            }
            u32::from_str_radix(&digits, radix)
                .ok()
                .and_then(char::from_u32)
        };
        match next {
            Ok(character) => out.push(character),
            Err('n') => out.push('\n'),
            Err('t') => out.push('\t'),
            Err('r') => out.push('\r'),
            Err('a') => out.push('\x07'),
            Err('b') => out.push('\x08'),
            Err('e' | 'E') => out.push('\x1b'),
            Err('f') => out.push('\x0c'),
            Err('v') => out.push('\x0b'),
            Err('x') => out.extend(number(16, 2)),
            Err('u') => out.extend(number(16, 4)),
            Err('U') => out.extend(number(16, 8)),
            Err(other) => out.push(other),
        }
    }
    out
}

/// What a call starts in turn.
enum Started {
    Nothing,
    /// Programs, each by its words.
    Words {
        lists: Vec<Vec<Word>>,
        by: By,
        privileged: bool,
    },
    /// What each of these words says, read as a script.
    Scripts {
        words: Vec<Word>,
        by: By,
    },
}

/// A program that runs another one: the options that take the next word, and how many words come before the other's
/// name.
struct Runner {
    name: &'static str,
    options: &'static [&'static str],
    operands: usize,
    by: By,
    privileged: bool,
}

const fn runner(
    name: &'static str,
    options: &'static [&'static str],
    operands: usize,
    by: By,
    privileged: bool,
) -> Runner {
    Runner {
        name,
        options,
        operands,
        by,
        privileged,
    }
}

const RUNNERS: &[Runner] = &[
    runner(
        "sudo",
        &[
            "-u", "-g", "-h", "-p", "-C", "-r", "-t", "-T", "-U", "-D", "-R", "--user", "--group",
            "--host", "--prompt", "--chdir", "--chroot",
        ],
        0,
        By::Program,
        true,
    ),
    runner("doas", &["-u", "-C"], 0, By::Program, true),
    runner("pkexec", &["--user"], 0, By::Program, true),
    runner("run0", &["-u", "-g", "-D", "--user"], 0, By::Program, true),
    runner(
        "env",
        &["-u", "-C", "--unset", "--chdir"],
        0,
        By::Program,
        false,
    ),
    runner("nice", &["-n", "--adjustment"], 0, By::Program, false),
    runner(
        "ionice",
        &["-c", "-n", "-p", "-P", "-u", "--class", "--classdata"],
        0,
        By::Program,
        false,
    ),
    runner("chrt", &["-T", "-P", "-D"], 1, By::Program, false),
    runner("taskset", &[], 1, By::Program, false),
    runner("nohup", &[], 0, By::Program, false),
    runner("setsid", &[], 0, By::Program, false),
    runner("time", &["-f", "-o"], 0, By::Program, false),
    runner("command", &[], 0, By::Program, false),
    runner("builtin", &[], 0, By::Program, false),
    runner("exec", &["-a"], 0, By::Program, false),
    runner("coproc", &[], 0, By::Program, false),
    runner("busybox", &[], 0, By::Program, false),
    runner("toybox", &[], 0, By::Program, false),
    runner("stdbuf", &["-i", "-o", "-e"], 0, By::Program, false),
    runner(
        "timeout",
        &["-s", "-k", "--signal", "--kill-after"],
        1,
        By::Program,
        false,
    ),
    runner("chroot", &[], 1, By::Program, true),
    runner("arch-chroot", &["-u"], 1, By::Program, true),
    runner("fakeroot", &[], 0, By::Program, false),
    runner(
        "strace",
        &["-e", "-o", "-p", "-s", "-u"],
        0,
        By::Program,
        false,
    ),
    runner("ltrace", &["-e", "-o", "-p"], 0, By::Program, false),
    runner("systemd-inhibit", &[], 0, By::Program, false),
    runner(
        "systemd-run",
        &[
            "-u",
            "-p",
            "-M",
            "-H",
            "-E",
            "--description",
            "--gid",
            "--host",
            "--machine",
            "--nice",
            "--on-active",
            "--on-boot",
            "--on-calendar",
            "--on-unit-active",
            "--property",
            "--setenv",
            "--slice",
            "--uid",
            "--unit",
            "--working-directory",
        ],
        0,
        By::Program,
        false,
    ),
    runner("unshare", &[], 0, By::Program, false),
    runner("nsenter", &["-t"], 0, By::Program, true),
    runner("setpriv", &[], 0, By::Program, true),
    runner("setarch", &[], 1, By::Program, false),
    runner(
        "numactl",
        &[
            "-C",
            "-i",
            "-m",
            "-N",
            "-P",
            "-p",
            "-w",
            "--cpunodebind",
            "--interleave",
            "--membind",
            "--physcpubind",
            "--preferred",
            "--preferred-many",
            "--weighted-interleave",
        ],
        0,
        By::Program,
        false,
    ),
    runner(
        "prlimit",
        &["-p", "--pid", "-o", "--output"],
        0,
        By::Program,
        false,
    ),
    runner("caffeinate", &["-t", "-w"], 0, By::Program, false),
    runner("dbus-run-session", &[], 0, By::Program, false),
    runner("proxychains", &["-f"], 0, By::Program, false),
    runner("torsocks", &[], 0, By::Program, false),
    runner(
        "xargs",
        &[
            "-I",
            "-n",
            "-P",
            "-d",
            "-L",
            "-a",
            "-E",
            "-s",
            "--max-args",
            "--max-procs",
            "--delimiter",
            "--arg-file",
            "--max-chars",
        ],
        0,
        By::Many,
        false,
    ),
    runner(
        "parallel",
        &[
            "-a",
            "-C",
            "-d",
            "-E",
            "-I",
            "-j",
            "-L",
            "-N",
            "-n",
            "-P",
            "-S",
            "-s",
            "--arg-file",
            "--block",
            "--colsep",
            "--delay",
            "--delimiter",
            "--env",
            "--halt",
            "--jobs",
            "--joblog",
            "--load",
            "--max-args",
            "--memfree",
            "--nice",
            "--recend",
            "--recstart",
            "--results",
            "--retries",
            "--sshlogin",
            "--tagstring",
            "--timeout",
            "--tmpdir",
            "--wd",
            "--workdir",
        ],
        0,
        By::Many,
        false,
    ),
];

/// Options of `ssh` that take the next word.
#[rustfmt::skip]
const SSH_VALUES: &[&str] = &[
    "-B", "-b", "-c", "-D", "-E", "-e", "-F", "-I", "-i", "-J", "-L", "-l", "-m", "-O", "-o", "-P", "-p", "-Q", "-R",
    "-S", "-W", "-w",
];

/// Programs, their options whose values are scripts, and other options that take the next word.
#[rustfmt::skip]
const SCRIPT_OPTIONS: &[(&str, &[&str], &[&str])] = &[
    ("fish", &["-c", "--command", "-C", "--init-command"], &["-d", "-o", "-D", "-f"]),
    (
        "hyperfine",
        &["-p", "--prepare", "-s", "--setup", "-c", "--cleanup", "--conclude"],
        &[
            "-w", "--warmup", "-m", "--min-runs", "-M", "--max-runs", "-r", "--runs", "-S", "--shell", "-n",
            "--command-name", "-u", "--time-unit", "--style", "--output", "--input", "--sort", "--export-json",
            "--export-csv", "--export-markdown",
        ],
    ),
    ("mapfile", &["-C"], &["-c", "-d", "-n", "-O", "-s", "-u"]),
    ("readarray", &["-C"], &["-c", "-d", "-n", "-O", "-s", "-u"]),
    ("runuser", &["-c", "--command", "--session-command"], &["-s", "-g", "-G", "-w", "-u"]),
    ("scp", &["-o"], SSH_VALUES),
    ("script", &["-c", "--command"], &["-B", "-E", "-I", "-m", "-O", "-o", "-T"]),
    ("sftp", &["-o"], SSH_VALUES),
    ("ssh", &["-o"], SSH_VALUES),
    ("su", &["-c", "--command", "--session-command"], &["-s", "--shell", "-g", "-G", "-w"]),
];

/// Shells: what follows their `-c` is a script.
pub(crate) const SHELLS: &[&str] = &[
    "sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "fish", "rbash", "csh", "tcsh",
];

/// Whether a program runs the one that its words name.
pub(crate) fn is_runner(name: &str) -> bool {
    RUNNERS.iter().any(|runner| runner.name == name)
}

fn starts(words: &[Word], depth: usize) -> Started {
    if depth > DEEPEST {
        return Started::Nothing;
    }
    started(words)
}

/// One script of words that a program puts together with spaces.
fn joined(words: &[Word]) -> Option<Word> {
    let (first, last) = (words.first()?, words.last()?);
    let texts: Vec<_> = words.iter().map(|word| word.text.as_str()).collect();
    Some(Word {
        text: texts.join(" "),
        span: first.span.start..last.span.end.max(first.span.end),
        known: words.iter().all(|word| word.known),
        ..first.clone()
    })
}

fn scripts_of(words: impl IntoIterator<Item = Word>) -> Started {
    let words: Vec<_> = words.into_iter().collect();
    if words.is_empty() {
        return Started::Nothing;
    }
    Started::Scripts {
        words,
        by: By::Program,
    }
}

/// What a shell is given behind `-c`.
fn shell_script(words: &[Word]) -> Started {
    let mut words = words.iter();
    let mut runs = false;
    while let Some(word) = words.next() {
        let text = word.text.as_str();
        let operand = match text {
            "-" | "--" => words.next(),
            _ if text.starts_with("--") => {
                if matches!(text, "--rcfile" | "--init-file") {
                    words.next();
                }
                continue;
            }
            _ if text.starts_with(['-', '+']) => {
                runs |= text.starts_with('-') && text.contains('c');
                if text.contains(['o', 'O']) {
                    words.next();
                }
                continue;
            }
            _ => Some(word),
        };
        return scripts_of(operand.filter(|_| runs).cloned());
    }
    Started::Nothing
}

/// The values of some options, and what is neither an option nor the value of one.
pub(crate) fn apart(words: &[Word], options: &[&str], others: &[&str]) -> (Vec<Word>, Vec<Word>) {
    let (mut values, mut operands) = (vec![], vec![]);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match given(word, options, others) {
            Given::Here(value) => values.push(value),
            Given::Next => values.extend(words.next().cloned()),
            Given::Nowhere if word.text == "--" => operands.extend(words.by_ref().cloned()),
            Given::Nowhere if word.text.starts_with('-') => {
                if matches!(given(word, others, &[]), Given::Next) {
                    words.next();
                }
            }
            Given::Nowhere => operands.push(word.clone()),
        }
    }
    (values, operands)
}

/// The command in an option of `ssh`, as in `-o ProxyCommand=...`.
fn ssh_runs(option: &Word) -> Option<Word> {
    let (key, value) = option.text.split_once(['=', ' '])?;
    let runs = ["proxycommand", "localcommand", "knownhostscommand"];
    let found = runs.contains(&key.to_ascii_lowercase().as_str()) && value != "none";
    found.then(|| option.saying(value))
}

/// What `env -S` makes its words of.
fn env_script(words: &[Word]) -> Option<Word> {
    for (at, word) in words.iter().enumerate() {
        if !word.text.starts_with('-') && !word.text.contains('=') {
            return None;
        }
        let behind = words.get(at + 1..).unwrap_or_default();
        let script = match given(word, &["-S", "--split-string"], &["-u", "-C"]) {
            Given::Nowhere => continue,
            Given::Next => joined(behind)?,
            Given::Here(value) => {
                let rest = behind.iter().cloned();
                joined(&std::iter::once(value).chain(rest).collect::<Vec<_>>())?
            }
        };
        return Some(script.saying(&format!("env {}", script.text)));
    }
    None
}

/// What the commands of `tmux` give to a shell.
fn tmux_scripts(words: &[Word]) -> Vec<Word> {
    #[rustfmt::skip]
    const RUN: &[&str] = &[
        "new-session", "new-window", "neww", "split-window", "splitw", "respawn-window", "respawnw", "respawn-pane",
        "respawnp", "display-popup", "popup", "run-shell", "if-shell", "pipe-pane", "pipep",
    ];
    let mut scripts = vec![];
    for command in words.split(|word| word.text == ";") {
        let command = behind(command, &["-L", "-S", "-f", "-T"], 0).unwrap_or_default();
        let Some((verb, rest)) = command.split_first() else {
            continue;
        };
        if RUN.iter().any(|run| run.starts_with(&verb.text)) {
            let options = &[
                "-c", "-e", "-F", "-f", "-h", "-l", "-n", "-s", "-S", "-t", "-T", "-w", "-x", "-y",
            ];
            scripts.extend(behind(rest, options, 0).and_then(joined));
        }
    }
    scripts
}

fn started(words: &[Word]) -> Started {
    let Some(name) = words.first().filter(|word| word.known) else {
        return Started::Nothing;
    };
    let name = base_name(&name.text);
    let rest = words.get(1..).unwrap_or_default();
    if SHELLS.contains(&name) && name != "fish" {
        return shell_script(rest);
    }
    if let Some((_, options, others)) = SCRIPT_OPTIONS.iter().find(|(of, ..)| *of == name) {
        let (mut scripts, operands) = apart(rest, options, others);
        match name {
            "hyperfine" => scripts.extend(operands),
            "ssh" | "scp" | "sftp" => {
                scripts = scripts.iter().filter_map(ssh_runs).collect();
                if name == "ssh" {
                    scripts.extend(last_words(name, rest));
                }
            }
            _ => {}
        }
        return scripts_of(scripts);
    }
    match name {
        "eval" => return scripts_of(joined(rest)),
        "trap" => {
            let script = rest
                .first()
                .filter(|word| word.text != "-" && rest.len() > 1);
            return scripts_of(script.cloned());
        }
        "alias" => {
            // Whoever defines it means to run it.
            let value = |word: &Word| {
                let (_, value) = word.text.split_once('=')?;
                Some(word.saying(value))
            };
            return scripts_of(rest.iter().filter_map(value));
        }
        "env" => {
            if let Some(script) = env_script(rest) {
                return scripts_of([script]);
            }
        }
        "watch" | "entr" | "flock" => return scripts_of(last_words(name, rest)),
        "tmux" => return scripts_of(tmux_scripts(rest)),
        "find" | "fd" | "fdfind" => return found(name, rest),
        "jobs" if rest.first().is_some_and(|word| word.text == "-x") => {
            return Started::Words {
                lists: vec![rest.get(1..).unwrap_or_default().to_vec()],
                by: By::Program,
                privileged: false,
            }
        }
        // Asks where a command is, and runs nothing.
        "command"
            if rest
                .first()
                .is_some_and(|word| matches!(word.text.as_str(), "-v" | "-V")) =>
        {
            return Started::Nothing
        }
        _ => {}
    }
    let Some(runner) = RUNNERS.iter().find(|runner| runner.name == name) else {
        return Started::Nothing;
    };
    let Some(inner) = behind(rest, runner.options, runner.operands) else {
        return Started::Nothing;
    };
    // `ionice -p`, `taskset -p`, `strace -p` are about a process that runs already.
    if inner.is_empty() {
        return Started::Nothing;
    }
    if name == "parallel" {
        // What stands behind `:::` are the values, which come last where the command does not say where.
        let values = inner.iter().position(|word| word.text.starts_with(":::"));
        let script = joined(
            inner
                .get(..values.unwrap_or(inner.len()))
                .unwrap_or_default(),
        );
        let Some(script) = script else {
            return Started::Nothing;
        };
        let script = match script.text.contains('{') {
            true => script,
            false => script.saying(&format!("{} {{}}", script.text)),
        };
        return Started::Scripts {
            words: vec![script],
            by: By::Many,
        };
    }
    Started::Words {
        lists: vec![inner.to_vec()],
        by: runner.by,
        privileged: runner.privileged,
    }
}

/// What stands behind a program's options, assignments and so many operands.
fn behind<'w>(words: &'w [Word], options: &[&str], operands: usize) -> Option<&'w [Word]> {
    let mut left = operands;
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let text = word.text.as_str();
        if text == "--" {
            at += 1;
            break;
        } else if text.starts_with('-') {
            at += 1 + usize::from(matches!(given(word, options, &[]), Given::Next));
        } else if word
            .text
            .split_once('=')
            .is_some_and(|(name, _)| is_variable(name))
        {
            at += 1;
        } else {
            break;
        }
    }
    while left > 0 {
        left -= 1;
        at += 1;
    }
    words.get(at..)
}

/// The variables that a program sets for the one that it runs.
fn assigned(words: &[Word]) -> Vec<(String, Option<String>)> {
    let Some((name, rest)) = words.split_first() else {
        return vec![];
    };
    let name = base_name(&name.text);
    let Some(runner) = RUNNERS.iter().find(|runner| runner.name == name) else {
        return vec![];
    };
    let inner = behind(rest, runner.options, runner.operands).unwrap_or_default();
    let own = rest.len().saturating_sub(inner.len());
    let variable = |word: &Word| {
        let text = word.text.as_str();
        let text = ["--setenv=", "-E"]
            .iter()
            .find_map(|option| text.strip_prefix(option))
            .unwrap_or(text);
        let (name, value) = text.split_once('=')?;
        is_variable(name).then(|| (name.to_owned(), word.known.then(|| value.to_owned())))
    };
    rest.iter().take(own).filter_map(variable).collect()
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|character: char| character.is_ascii_digit())
        && name
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || character == '_')
}

/// Where the value of an option is.
pub(crate) enum Given {
    /// The word is not this option.
    Nowhere,
    /// In the word itself.
    Here(Word),
    /// It is the next word.
    Next,
}

/// Where a word says the value of one of these options. Letters before a short one are options without a value, unless
/// they are among those of the last list.
pub(crate) fn given(word: &Word, options: &[&str], others: &[&str]) -> Given {
    let text = word.text.as_str();
    if options.contains(&text) {
        return Given::Next;
    }
    let here = |value: &str| Given::Here(word.saying(value));
    if text.starts_with("--") {
        return match text.split_once('=') {
            // It may be shortened.
            Some((name, value))
                if options.contains(&name)
                    || name.len() > 3 && options.iter().any(|option| option.starts_with(name)) =>
            {
                here(value)
            }
            _ => Given::Nowhere,
        };
    }
    let Some(cluster) = text.strip_prefix('-') else {
        return Given::Nowhere;
    };
    let is = |letter: char, options: &[&str]| {
        let mut of = options.iter().filter_map(|option| option.strip_prefix('-'));
        of.any(|option| option.len() == 1 && option.starts_with(letter))
    };
    for (at, letter) in cluster.char_indices() {
        let value = cluster.get(at + letter.len_utf8()..).unwrap_or_default();
        if is(letter, options) {
            return if value.is_empty() {
                Given::Next
            } else {
                here(value)
            };
        }
        if !letter.is_ascii_alphanumeric() || is(letter, others) {
            break;
        }
    }
    Given::Nowhere
}

/// Programs that give their last words to a shell.
fn last_words(name: &str, words: &[Word]) -> Option<Word> {
    let (options, operands): (&[&str], _) = match name {
        "watch" => (
            &["-n", "--interval", "-q", "--equexit", "-s", "--shotsdir"],
            0,
        ),
        "flock" => (&["-w", "-E", "--timeout"], 1),
        "ssh" => (SSH_VALUES, 1),
        _ => (&[], 0),
    };
    let rest = behind(words, options, operands)?;
    match rest.split_first() {
        Some((first, rest)) if first.text == "-c" => joined(rest),
        _ => joined(rest),
    }
}

/// What `find` and `fd` run on what they find.
fn found(name: &str, words: &[Word]) -> Started {
    let runs = |word: &Word| match name {
        "find" => match word.text.as_str() {
            "-exec" | "-execdir" | "-ok" | "-okdir" => Given::Next,
            _ => Given::Nowhere,
        },
        _ => given(
            word,
            &["-x", "-X", "--exec", "--exec-batch"],
            &["-c", "-d", "-e", "-E", "-j", "-o", "-S", "-t"],
        ),
    };
    let mut lists = vec![];
    let mut words = words;
    while let Some((word, rest)) = words.split_first() {
        let mut inner: Vec<_> = match runs(word) {
            Given::Nowhere => {
                words = rest;
                continue;
            }
            Given::Here(first) => vec![first],
            Given::Next => vec![],
        };
        let ends = |word: &Word| word.text == ";" || word.text == "+";
        let end = rest.iter().position(ends).unwrap_or(rest.len());
        let (behind, others) = rest.split_at(end);
        inner.extend_from_slice(behind);
        if !inner.is_empty() {
            lists.push(inner);
        }
        words = others;
    }
    if lists.is_empty() {
        return Started::Nothing;
    }
    Started::Words {
        lists,
        by: By::Many,
        privileged: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_needed() {
        for (text, expected) in [
            ("a.txt", "a.txt"),
            ("a b", "'a b'"),
            ("it's", "'it'\\''s'"),
            ("", "''"),
            ("a*", "'a*'"),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }

    fn calls(text: &str) -> Vec<String> {
        parse(text)
            .calls
            .iter()
            .map(|call| {
                let words: Vec<_> = call.words.iter().map(|word| word.text.as_str()).collect();
                words.join(" ")
            })
            .collect()
    }

    #[test]
    fn every_started_program_is_found() {
        let cases: &[(&str, &[&str])] = &[
            ("ls -l", &["ls -l"]),
            ("a | b && c; d &", &["a", "b", "c", "d"]),
            ("sudo -u bob rm x", &["sudo -u bob rm x", "rm x"]),
            (
                "env A=1 LC_ALL=C sort f",
                &["env A=1 LC_ALL=C sort f", "sort f"],
            ),
            (
                "timeout -k 5 10 dd if=a",
                &["timeout -k 5 10 dd if=a", "dd if=a"],
            ),
            (
                "ls | xargs -n 1 rm -f",
                &["ls", "xargs -n 1 rm -f", "rm -f"],
            ),
            (
                r"find . -name '*.o' -exec rm {} \; -exec echo {} +",
                &[
                    "find . -name *.o -exec rm {} ; -exec echo {} +",
                    "rm {}",
                    "echo {}",
                ],
            ),
            ("echo $(date) `who`", &["echo $(date) `who`", "date", "who"]),
            (
                "diff <(sort a) <(sort b)",
                &["diff <(sort a) <(sort b)", "sort a", "sort b"],
            ),
            (
                "sh -c 'rm -rf x; ls'",
                &["sh -c rm -rf x; ls", "rm -rf x", "ls"],
            ),
            ("for f in *; do mv $f x; done", &["mv $f x"]),
            ("if [ -e a ]; then rm a; fi", &["test", "rm a"]),
            ("f() { rm a; }; f", &["rm a", "f"]),
            (
                "sudo sh -c \"echo 1 > /proc/x\"",
                &[
                    "sudo sh -c echo 1 > /proc/x",
                    "sh -c echo 1 > /proc/x",
                    "echo 1",
                ],
            ),
            ("watch -n 2 'df -h'", &["watch -n 2 df -h", "df -h"]),
            ("ssh host rm -rf x", &["ssh host rm -rf x", "rm -rf x"]),
            ("alias l='rm -r x'", &["alias l=rm -r x", "rm -r x"]),
            ("x=$(rm a) true", &["rm a", "true"]),
            ("export A=$(rm a)", &["rm a", "export A=$(rm a)"]),
            ("[[ $(rm a) == b ]]", &["test", "rm a"]),
            ("cat <<< \"$(rm a)\"", &["cat", "rm a"]),
            ("cat <<E\n$(rm a)\nE\n", &["cat", "rm a"]),
            ("> f", &[""]),
            ("command -v rm", &["command -v rm"]),
        ];
        for (text, expected) in cases {
            assert_eq!(calls(text), *expected, "{text}");
        }
    }

    #[test]
    fn words_are_read_as_bash_reads_them() {
        for (text, expected) in [
            (r#"r'm'"#, "rm"),
            (r#"r\m"#, "rm"),
            (r#""rm""#, "rm"),
            (r#"$'\x72m'"#, "rm"),
            (r#"$'r\155'"#, "rm"),
            (r#"r""m"#, "rm"),
            (r#""a \"b\" c""#, "a \"b\" c"),
            (r#""  two  ""#, "  two  "),
        ] {
            let script = parse(text);
            let words = &script.calls[0].words;
            assert_eq!(words[0].text, expected, "{text}");
            assert!(words[0].known, "{text}");
        }
    }

    #[test]
    fn what_is_computed_is_not_known() {
        for text in [
            "$x",
            "$(echo rm)",
            "r${e}m",
            "`echo rm`",
            "\"$x\"",
            "{rm,-rf,a}",
        ] {
            let script = parse(text);
            assert_eq!(script.calls.first().and_then(Call::name), None, "{text}");
            assert!(
                !script.calls.is_empty() || !script.errors.is_empty(),
                "{text}"
            );
        }
    }

    #[test]
    fn errors_are_found() {
        for text in [
            "ls |",
            "echo 'a",
            "(ls",
            "if true; then",
            "a && ",
            "$(ls",
            "| ls",
        ] {
            assert!(!parse(text).errors.is_empty(), "{text}");
        }
        for text in ["ls", "a; b", "[[ a == b ]]", "for f in *; do :; done"] {
            assert_eq!(parse(text).errors, [], "{text}");
        }
    }

    #[test]
    fn deep_and_long_texts_are_refused() {
        let deep = format!("{}x{}", "$(".repeat(5000), ")".repeat(5000));
        assert!(!parse(&deep).errors.is_empty());
        assert!(!parse(&"a ".repeat(LONGEST)).errors.is_empty());
        // Each of them starts what all behind it are told.
        let hosts = "ssh -o LocalCommand=ls h ".repeat(40);
        let wide = format!("{hosts} bash -c \"{hosts} bash -c '{hosts} ls'\"");
        assert!(parse(&wide).calls.len() < 2 * MOST);
    }

    #[test]
    fn places_in_nested_scripts_are_places_of_the_text() {
        let text = "sudo bash -c 'cd /; rm -r x'";
        let script = parse(text);
        let call = script.calls.last().unwrap();
        assert_eq!(&text[call.span.clone()], "rm -r x");
        assert!(call.privileged);
    }
}
