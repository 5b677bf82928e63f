// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Has the model write a command, and keeps what holds.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{
    check, danger, describe, missing, pairs, syntax, Context, Cost, Fix, Problem, ProblemKind,
    Proposal, ProposeError, Shell, System,
};
use crate::{Model, Reply, Request};

/// Longest request that is shown to the model, in characters.
const REQUEST: usize = 400;
/// How many pairs the model is shown.
const SHOWN: usize = 4;
/// Most bytes of all pairs that it is shown.
const SHOWN_BYTES: usize = 420;
/// Most tokens of an answer.
const TOKENS: u32 = 160;
/// Longest time that an answer may take.
const TIME: Duration = Duration::from_secs(30);
/// Most files of the directory that the model is told of.
const FILES: usize = 6;

/// What every question begins with. It does not change, so it is computed once.
fn request(context: &Context, question: String) -> Request {
    let system = match context.system {
        System::Arch => "Arch Linux (pacman, systemd)",
        System::Debian => "Debian (apt, systemd)",
        System::Other => "Linux (systemd)",
    };
    let mut request = Request::new(
        format!(
            "You turn a task into one bash command for {system}. Answer with nothing but the command in a code fence. \
             Use the names and numbers of the task as they are. Prefer standard tools. The task works in the current \
             directory unless it says otherwise."
        ),
        question,
    )
    .example(
        "Similar:\nhow many lines has a file: `wc -l notes.txt`\nTask: how many lines are in all the .conf files together",
        fenced("cat *.conf | wc -l"),
    )
    .example(
        "Similar:\nfind files larger than a size: `find . -type f -size +10M`\nsort files by size: `ls -lS`\nTask: show the \
         three biggest files below ~/Videos",
        fenced("find ~/Videos -type f -printf '%s %p\\n' | sort -rn | head -n 3"),
    )
    .example(
        "Similar:\nreplace a word in a file: `sed -i 's/old/new/g' notes.txt`\nFiles: 'my notes.md'\nTask: change teh to \
         the everywhere in my notes.md",
        fenced("sed -i 's/teh/the/g' 'my notes.md'"),
    );
    request.stops = vec!["\n```".into()];
    request.max_tokens = TOKENS;
    request.timeout = Some(TIME);
    request
}

fn fenced(command: &str) -> String {
    format!("```bash\n{command}\n```")
}

/// Asks, and counts what it takes.
struct Asker<'a> {
    model: &'a mut dyn Model,
    each: &'a mut dyn FnMut(&str) -> bool,
    begin: Instant,
    cost: Cost,
}

impl<'a> Asker<'a> {
    fn new(model: &'a mut dyn Model, each: &'a mut dyn FnMut(&str) -> bool) -> Self {
        Self {
            model,
            each,
            begin: Instant::now(),
            cost: Cost::default(),
        }
    }

    fn ask(&mut self, request: &Request) -> Result<String, ProposeError> {
        let mut go_on = true;
        let each = &mut *self.each;
        let before = self.begin.elapsed();
        let Reply {
            text,
            prompt_tokens,
            tokens,
            first,
            ..
        } = self.model.ask(request, &mut |part| {
            go_on = each(part);
            go_on
        })?;
        self.cost.asked += 1;
        self.cost.prompt_tokens = self.cost.prompt_tokens.saturating_add(prompt_tokens);
        self.cost.tokens = self.cost.tokens.saturating_add(tokens);
        if self.cost.first_ms.is_none() {
            self.cost.first_ms = first.map(|first| milliseconds(before + first));
        }
        if !go_on {
            return Err(ProposeError::Cancelled);
        }
        Ok(text)
    }

    /// Asks for a command, and once more if something is wrong with it. What it says goes through `accept`, which
    /// makes the command of it.
    fn command(
        &mut self,
        context: &Context,
        mut request: Request,
        accept: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(String, Vec<Problem>), ProposeError> {
        let said = self.ask(&request)?;
        let first = accept(&said).map(|command| {
            let problems = check::check(context, &command);
            (command, problems)
        });
        let problem = match &first {
            Some((command, problems)) => match problems.first() {
                Some(problem) => format!("`{command}` does not work: {problem}."),
                None => return Ok((command.clone(), vec![])),
            },
            None => "That is no command.".to_owned(),
        };
        let question = std::mem::replace(
            &mut request.question,
            format!("{problem} Write another command for the task."),
        );
        let answer = fenced(first.as_ref().map_or(said.trim(), |(command, _)| command));
        let request = request.example(question, answer);
        let said = self.ask(&request)?;
        let second = accept(&said).map(|command| {
            let problems = check::check(context, &command);
            (command, problems)
        });
        match (first, second) {
            (Some(first), Some(second)) if weight(&second.1) <= weight(&first.1) => Ok(second),
            (Some(first), _) => Ok(first),
            (None, Some(second)) => Ok(second),
            (None, None) => Err(ProposeError::NoCommand {
                attempt: said.trim().to_owned(),
                problems: vec![],
            }),
        }
    }

    /// Makes the proposal of a command.
    fn proposal(
        mut self,
        context: &Context,
        (command, problems): (String, Vec<Problem>),
    ) -> Result<Proposal, ProposeError> {
        self.cost.whole_ms = milliseconds(self.begin.elapsed());
        proposal(context, command, problems, self.cost)
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// How bad problems are.
fn weight(problems: &[Problem]) -> usize {
    problems
        .iter()
        .map(|problem| match problem.kind {
            ProblemKind::Syntax { .. } => 100,
            ProblemKind::NotInstalled { .. } => 10,
            ProblemKind::UnknownOption { .. } => 10,
            ProblemKind::Placeholder { .. } => 5,
        })
        .sum()
}

fn proposal(
    context: &Context,
    command: String,
    problems: Vec<Problem>,
    cost: Cost,
) -> Result<Proposal, ProposeError> {
    let broken = problems
        .iter()
        .any(|problem| matches!(problem.kind, ProblemKind::Syntax { .. }));
    if broken || command.is_empty() {
        return Err(ProposeError::NoCommand {
            attempt: command,
            problems,
        });
    }
    let judgement = danger::judge_in(context, &command);
    let description = describe::summary(context, &command);
    let mut notes = vec![];
    let script = syntax::parse(&command);
    if !context.root && script.calls.iter().any(|call| call.privileged) {
        notes.push("asks for the rights of root".to_owned());
    }
    let mut proposal = Proposal {
        command,
        description,
        danger: judgement.danger,
        reasons: judgement.reasons,
        notes,
        unverified: problems,
        cost,
    };
    if context.shell == Shell::Fish && !fish_understands(&proposal.command) {
        proposal.notes.push("is written for bash".into());
        let shift = "bash -c '".len();
        proposal.command = format!("bash -c {}", quoted(&proposal.command));
        let same = !proposal.command.contains(['\\']);
        let spans = proposal.reasons.iter_mut().map(|reason| &mut reason.span);
        for span in spans.chain(
            proposal
                .unverified
                .iter_mut()
                .map(|problem| &mut problem.span),
        ) {
            // Where quotes had to be quoted, the places inside cannot be told.
            *span = if same {
                span.start + shift..span.end + shift
            } else {
                0..proposal.command.len()
            };
        }
    }
    Ok(proposal)
}

/// Whether a command of bash means the same in fish.
fn fish_understands(command: &str) -> bool {
    let foreign = [
        "<(", "<<", "[[", "${", "$((", "`", "; do", "; then", "esac", "() {", "(){", "$?", "$!",
        "$@", "$#", ">&", "$'",
    ];
    let assigns = !syntax::parse(command).variables.is_empty();
    !assigns && !foreign.iter().any(|text| command.contains(text))
}

/// A text as one word of a shell.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./+,:@%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

pub(super) fn propose(
    model: &mut dyn Model,
    context: &Context,
    asked: &str,
    each: &mut dyn FnMut(&str) -> bool,
) -> Result<Proposal, ProposeError> {
    let asked = one_line(asked, REQUEST);
    if asked.is_empty() {
        return Err(ProposeError::Empty);
    }
    let files = mentioned_files(&context.cwd, &asked);
    let question = question(context, &asked, &files);
    let mut asker = Asker::new(model, each);
    let found = asker.command(context, request(context, question), &|said| {
        command_of(said).map(|command| mended(context, &command, &files))
    })?;
    asker.proposal(context, found)
}

pub(super) fn complete(
    model: &mut dyn Model,
    context: &Context,
    typed: &str,
    each: &mut dyn FnMut(&str) -> bool,
) -> Result<Proposal, ProposeError> {
    let typed = typed.trim_start();
    if typed.trim().is_empty() {
        return Err(ProposeError::Empty);
    }
    // What was typed before and worked is the likeliest.
    let before = context.history.iter().rev();
    if let Some(line) = before
        .map(|line| line.trim())
        .find(|line| line.len() > typed.len() && line.starts_with(typed))
    {
        let problems = check::check(context, line);
        return proposal(context, line.to_owned(), problems, Cost::default());
    }
    let files = mentioned_files(&context.cwd, typed);
    let similar = similar(context, typed);
    let question = format!(
        "{similar}{}Task: complete this half-typed command: {typed}",
        listed(&files)
    );
    let mut asker = Asker::new(model, each);
    let typed_words = typed.trim_end();
    let found = asker.command(context, request(context, question), &|said| {
        let command = command_of(said)?;
        if command.starts_with(typed_words) {
            return Some(command);
        }
        // It may have written only the rest.
        let glue = if typed.ends_with(' ') || command.starts_with(' ') {
            ""
        } else {
            " "
        };
        let first = command.split_whitespace().next().unwrap_or_default();
        let rest = first.starts_with(['-', '.', '/', '~', '|', '>', '\'', '"', '*']);
        rest.then(|| format!("{typed}{glue}{command}"))
    })?;
    asker.proposal(context, found)
}

pub(super) fn fix(
    model: &mut dyn Model,
    context: &Context,
    each: &mut dyn FnMut(&str) -> bool,
) -> Result<Fix, ProposeError> {
    let last = match &context.last {
        Some(last) if last.status != 0 && !last.command.trim().is_empty() => last,
        _ => return Err(ProposeError::NothingFailed),
    };
    let error = last.error.as_deref().unwrap_or_default();
    let explanation = explanation(context, &last.command, last.status, error);
    if let Some(command) = mend_known(context, &last.command, last.status, error) {
        let problems = check::check(context, &command);
        if problems.is_empty() {
            let proposal = proposal(context, command, problems, Cost::default())?;
            return Ok(Fix {
                explanation,
                proposal: Some(proposal),
            });
        }
    }
    let error = one_line(last_lines(error), REQUEST);
    let command = one_line(&last.command, REQUEST);
    let files = mentioned_files(&context.cwd, &command);
    let said = if error.is_empty() {
        format!("Failed with status {}: `{command}`", last.status)
    } else {
        format!("Failed: `{command}`\nError: {error}")
    };
    let question = format!("{said}\n{}Task: correct the command", listed(&files));
    let mut asker = Asker::new(model, each);
    let found = asker.command(context, request(context, question), &|said| {
        command_of(said).map(|command| mended(context, &command, &files))
    });
    let proposal = match found {
        // The same again would fail again.
        Ok((again, _)) if again.trim() == last.command.trim() => None,
        Ok(found) => asker.proposal(context, found).ok(),
        Err(ProposeError::NoCommand { .. }) => None,
        Err(error) => return Err(error),
    };
    Ok(Fix {
        explanation,
        proposal,
    })
}

/// The end of what a command wrote, where the reason is.
fn last_lines(text: &str) -> &str {
    let text = text.trim_end();
    let begin = text
        .char_indices()
        .rev()
        .map(|(at, _)| at)
        .take(REQUEST)
        .last()
        .unwrap_or(0);
    text.get(begin..).unwrap_or(text)
}

/// What the status and the message of a command that failed mean.
fn explanation(context: &Context, command: &str, status: i32, error: &str) -> String {
    let script = syntax::parse(command);
    let name = script
        .calls
        .first()
        .and_then(|call| call.name())
        .unwrap_or("the command")
        .to_owned();
    let lower = error.to_lowercase();
    let says = |text: &str| lower.contains(text);
    let mut out = match status {
        127 => {
            let missing = script
                .calls
                .iter()
                .filter_map(|call| call.name())
                .find(|name| !check::builtin(name) && context.machine.program(name).is_none())
                .unwrap_or(&name)
                .to_owned();
            format!("there is no command {missing}")
        }
        126 => format!("{name} is there, but may not be run: it is no program, or not executable"),
        130 => format!("{name} was interrupted with Ctrl-C"),
        137 => format!("{name} was killed (signal 9), by somebody or because memory ran out"),
        139 => format!("{name} crashed: it used memory that is not its own (signal 11)"),
        141 => format!("{name} was writing to a pipe that nobody reads any more"),
        143 => format!("{name} was asked to end (signal 15)"),
        129..=192 => format!("{name} was ended by signal {}", status - 128),
        124 if name == "timeout" => "the time that timeout gave it was up".into(),
        _ if !script.errors.is_empty() => {
            let what = script.errors.first().map_or("", |(_, what)| what.as_str());
            format!("the shell does not understand it: {what}")
        }
        _ if says("permission denied")
            || says("operation not permitted")
            || says("are you root")
            || says("must be root") =>
        {
            format!("{name} has no right to do this")
        }
        _ if says("no such file or directory") => {
            format!("{name} was told a file that does not exist")
        }
        _ if says("no space left") => "the file system is full".into(),
        _ if says("is a directory") => {
            format!("{name} was told a directory where a file is needed")
        }
        _ if says("not a directory") => {
            format!("{name} was told a file where a directory is needed")
        }
        _ if says("file exists") => "what it should make is there already".into(),
        _ if says("unrecognized option") || says("invalid option") || says("unknown option") => {
            format!("{name} does not have this option")
        }
        _ if says("could not resolve")
            || says("name or service not known")
            || says("temporary failure in name resolution") =>
        {
            "the name of the machine could not be looked up".into()
        }
        _ if says("connection refused") => "nothing listens there".into(),
        _ if says("timed out") => "no answer came in time".into(),
        _ if says("address already in use") => "something else uses this port already".into(),
        _ if says("device or resource busy") || says("target is busy") => {
            "something still uses it".into()
        }
        1 if matches!(
            name.as_str(),
            "grep" | "rg" | "pgrep" | "diff" | "cmp" | "test" | "["
        ) && error.is_empty() =>
        {
            match name.as_str() {
                "diff" | "cmp" => "the files differ; that is no error".into(),
                "test" | "[" => "the condition is false; that is no error".into(),
                _ => "nothing matched; that is no error".into(),
            }
        }
        _ => format!("{name} failed with status {status}"),
    };
    let line = error.lines().map(str::trim).rfind(|line| !line.is_empty());
    if let Some(line) = line {
        let line: String = line.chars().filter(|c| !c.is_control()).take(160).collect();
        out.push_str(&format!(" (it said: {line})"));
    }
    out
}

/// Mistakes that need no model.
fn mend_known(context: &Context, command: &str, status: i32, error: &str) -> Option<String> {
    let script = syntax::parse(command);
    let replaced = |span: &std::ops::Range<usize>, by: &str| {
        let mut out = command.to_owned();
        out.get(span.clone())?;
        out.replace_range(span.clone(), by);
        Some(out)
    };
    if status == 127 {
        let call = script.calls.iter().find(|call| {
            call.name().is_some_and(|name| {
                !check::builtin(name) && context.machine.program(name).is_none()
            })
        })?;
        let similar = missing::not_found(context, call.name()?).similar;
        return replaced(&call.words.first()?.span, similar.first()?);
    }
    // git says itself what it took the word for.
    for line in error
        .lines()
        .rev()
        .filter(|_| error.contains("most similar command"))
    {
        let meant = line.trim();
        if !meant.is_empty() && meant.chars().all(|c| c.is_ascii_lowercase() || c == '-') {
            let call = script
                .calls
                .iter()
                .find(|call| call.name() == Some("git"))?;
            let verb = call
                .operands()
                .iter()
                .find(|word| !word.text.starts_with('-'))?;
            return replaced(&verb.span, meant);
        }
    }
    if error.contains("No such file or directory") {
        for word in script.calls.iter().flat_map(|call| call.operands()) {
            let path = Path::new(&word.text);
            let named = error.contains(&word.text)
                && word.known
                && !word.pattern
                && !word.text.starts_with('-');
            if !named || context.cwd.join(path).exists() {
                continue;
            }
            let name = path.file_name()?.to_str()?;
            let directory = path.parent().unwrap_or(Path::new(""));
            let near = names(&context.cwd.join(directory))
                .into_iter()
                .map(|found| (missing::distance(name, &found), found))
                .filter(|(distance, _)| *distance <= 2.min(name.len().saturating_sub(1)))
                .min()?;
            let whole = directory.join(near.1);
            return replaced(&word.span, &quoted(whole.to_str()?));
        }
    }
    let lower = error.to_lowercase();
    let denied = [
        "permission denied",
        "operation not permitted",
        "are you root",
        "must be root",
        "superuser",
    ]
    .iter()
    .any(|text| lower.contains(text));
    let system = danger::judge(command).danger >= danger::Danger::ChangesSystem;
    let one = script.calls.len() == 1 && script.calls.iter().all(|call| call.redirects.is_empty());
    (denied && system && one && !context.root).then(|| format!("sudo {command}"))
}

/// What differs from request to request.
fn question(context: &Context, asked: &str, files: &[String]) -> String {
    format!("{}{}Task: {asked}", similar(context, asked), listed(files))
}

/// The pairs that the model is shown, the most similar last.
fn similar(context: &Context, asked: &str) -> String {
    let mut room = SHOWN_BYTES;
    let mut lines = vec![];
    let mut commands: Vec<&str> = vec![];
    for (pair, _) in pairs::nearest(asked, context.system, SHOWN * 2) {
        let line = format!("{}: `{}`\n", pair.ask, pair.run);
        if lines.len() == SHOWN || line.len() > room || commands.contains(&pair.run.as_str()) {
            continue;
        }
        room -= line.len();
        commands.push(&pair.run);
        lines.push(line);
    }
    if lines.is_empty() {
        return String::new();
    }
    lines.reverse();
    format!("Similar:\n{}", lines.concat())
}

fn listed(files: &[String]) -> String {
    if files.is_empty() {
        return String::new();
    }
    let files: Vec<_> = files.iter().map(|file| quoted(file)).collect();
    format!("Files: {}\n", files.join(" "))
}

/// The names in a directory, those of hidden files left out.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .take(2000)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| {
            !name.starts_with('.') && !name.contains(char::is_control) && name.len() < 80
        })
        .collect();
    names.sort();
    names
}

/// The files of a directory that a request is about: by name, by a part of it, or by kind.
fn mentioned_files(directory: &Path, asked: &str) -> Vec<String> {
    let lower = asked.to_lowercase();
    let words: Vec<_> = lower
        .split(|c: char| !(c.is_alphanumeric() || "._-".contains(c)))
        .map(|word| word.trim_matches('.'))
        .filter(|word| word.len() > 2)
        .collect();
    let mut found: Vec<(usize, String)> = names(directory)
        .into_iter()
        .filter_map(|name| {
            let small = name.to_lowercase();
            let stem = small.split('.').next().unwrap_or_default();
            let kinds: Vec<_> = small.split('.').skip(1).collect();
            let whole = lower.contains(&small) && small.len() > 1;
            let stemmed = words.contains(&stem);
            let archive = ["archive", "tarball"]
                .iter()
                .any(|word| words.contains(word))
                && kinds.iter().any(|kind| {
                    ["tar", "tgz", "zip", "gz", "xz", "zst", "bz2", "7z"].contains(kind)
                });
            let kind = kinds
                .iter()
                .any(|kind| kind.len() > 1 && words.contains(kind));
            let rank = match () {
                () if whole => 0,
                () if stemmed => 1,
                () if archive => 2,
                () if kind => 3,
                () => return None,
            };
            Some((rank, name))
        })
        .collect();
    found.sort();
    // Those of a kind are many; a pattern is what is wanted then.
    let of_kind = found.iter().filter(|(rank, _)| *rank >= 2).count();
    if of_kind > 2 {
        found.retain(|(rank, _)| *rank < 2);
    }
    found.truncate(FILES);
    found.into_iter().map(|(_, name)| name).collect()
}

fn one_line(text: &str, most: usize) -> String {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(most)
        .collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The command in an answer: what is in its fence, or the answer if it has none.
fn command_of(said: &str) -> Option<String> {
    let inside = match said.find("```") {
        Some(at) => {
            let rest = said.get(at + 3..).unwrap_or_default();
            // The name of the language.
            let (first, behind) = rest.split_once('\n').unwrap_or(("", rest));
            let rest = if first.trim().chars().all(|c| c.is_ascii_alphanumeric()) {
                behind
            } else {
                rest
            };
            rest.split("```").next().unwrap_or_default()
        }
        None => {
            let text = said.trim();
            match text
                .strip_prefix('`')
                .and_then(|text| text.strip_suffix('`'))
            {
                Some(inside) => inside,
                None => text.split("\n\n").next().unwrap_or_default(),
            }
        }
    };
    let lines: Vec<_> = inside
        .lines()
        .map(|line| line.strip_prefix("$ ").unwrap_or(line).trim_end())
        .filter(|line| !line.is_empty() && !line.trim_start().starts_with('#'))
        .collect();
    let command = lines.join("\n").trim().to_owned();
    (!command.is_empty()).then_some(command)
}

/// Puts right what can be told to be wrong.
fn mended(context: &Context, command: &str, files: &[String]) -> String {
    let mut command = command.to_owned();
    // Names with spaces that were written without quotes.
    for file in files.iter().filter(|file| file.contains(' ')) {
        if let Some(at) = bare(&command, file) {
            command.replace_range(at..at + file.len(), &quoted(file));
        }
    }
    if context.root {
        if let Some(rest) = command.strip_prefix("sudo ") {
            if !rest.starts_with('-') && !rest.contains("sudo ") {
                command = rest.into();
            }
        }
    }
    command
}

/// Where a name of several words stands as several words.
fn bare(command: &str, file: &str) -> Option<usize> {
    let at = command.find(file)?;
    let script = syntax::parse(command);
    let inside = script
        .calls
        .iter()
        .flat_map(|call| call.words.iter())
        .any(|word| word.span.start <= at && at + file.len() <= word.span.end);
    (!inside).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_in_answers() {
        for (said, expected) in [
            ("```bash\nls -l\n```", Some("ls -l")),
            ("```bash\nls -l", Some("ls -l")),
            ("```\nls\n```", Some("ls")),
            ("```sh\n$ ls\n```", Some("ls")),
            (
                "Here it is:\n```bash\n# first\na\nb\n```\nIt works.",
                Some("a\nb"),
            ),
            ("`ls`", Some("ls")),
            ("ls -l", Some("ls -l")),
            ("", None),
            ("```bash\n```", None),
        ] {
            assert_eq!(command_of(said).as_deref(), expected, "{said:?}");
        }
    }

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
}
