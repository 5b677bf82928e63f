// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Has the model write a command, and keeps what holds.

use std::path::Path;
use std::time::{Duration, Instant};

use super::files::{kinds, listed, mentioned, names, one_line};
use super::pairs::{self, Around, Pair};
use super::{
    check, danger, describe, missing, misuse, syntax, Context, Cost, Fix, Problem, ProblemKind,
    Proposal, ProposeError, Shell, System,
};
use crate::{Model, Reply, Request};

/// Longest request that is shown to the model, in characters.
const REQUEST: usize = 400;
/// How many pairs the model is shown.
const SHOWN: usize = 3;
/// Most bytes of all pairs that it is shown.
const SHOWN_BYTES: usize = 300;
/// Most tokens of an answer.
const TOKENS: u32 = 160;
/// Longest time that an answer may take.
const TIME: Duration = Duration::from_secs(30);
/// How much of a manual it is told, in characters.
const MANUAL: usize = 240;

/// A question behind what every question begins with, which does not change and is computed once, and behind the pairs
/// that are like it, as if they had been asked before.
fn request(context: &Context, similar: &[&Pair], question: String) -> Request {
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
    );
    for (task, command) in FIXED {
        request = request.example(*task, fenced(command));
    }
    for pair in similar {
        request = request.example(pair.ask.as_str(), fenced(&pair.run));
    }
    request.stops = vec!["\n```".into()];
    request.max_tokens = TOKENS;
    request.timeout = Some(TIME);
    request
}

/// Tasks that show how files are told of, and that names and numbers are those of the task.
const FIXED: &[(&str, &str)] = &[
    (
        "how many lines are in all the .conf files together",
        "cat *.conf | wc -l",
    ),
    (
        "Files:\nguests.csv is like: name,city,age,nights / Ann,Rome,34,2\nhow many nights do the guests from Oslo stay in all",
        "awk -F, '$2==\"Oslo\" {s+=$4} END {print s}' guests.csv",
    ),
    (
        "Files:\nvisits.log is like: 12:01 de /home 35\nhow often was each page visited",
        "awk '{print $3}' visits.log | sort | uniq -c",
    ),
    (
        "which pictures below ~/Photos are over 5 MB",
        "find ~/Photos -type f -iname '*.jpg' -size +5M",
    ),
    ("has cron been started?", "systemctl is-active cron"),
    (
        "Files:\ndoor.log is like: 08:00 INFO open\nwhat does door.log say about the cellar",
        "grep -i 'cellar' door.log",
    ),
    (
        "Files:\n'my notes.md'\nchange teh to the everywhere in my notes.md",
        "sed -i 's/teh/the/g' 'my notes.md'",
    ),
    (
        "Files:\nplayer.ini has: volume = 40\nset the volume in player.ini to 70",
        "sed -i 's/^volume = .*/volume = 70/' player.ini",
    ),
    (
        "Files:\nboats.txt is like: wanda red 12\nnames of all the red boats in boats.txt",
        "awk '$2==\"red\" {print $1}' boats.txt",
    ),
    (
        "Files:\nparts.csv is like: part;shelf;price / bolt;A7;0.2\nthe dearest part, only its name",
        "tail -n +2 parts.csv | sort -t';' -k3,3nr | head -n 1 | cut -d';' -f1",
    ),
    (
        "put the reports of 2023 into a folder of their own",
        "mkdir reports-2023 && mv report*2023* reports-2023/",
    ),
];

// What the kernel holds before a second question: the system's words, tasks with their commands, and the first question with
// its answer.
const _: () = assert!(2 * (FIXED.len() + SHOWN + 1) < llamux::HELD_MAX);

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

    /// What the model says, and whether that is all: half of a command may be another one.
    fn ask(&mut self, request: &Request) -> Result<(String, bool), ProposeError> {
        let mut go_on = true;
        let each = &mut *self.each;
        let before = self.begin.elapsed();
        let Reply {
            text,
            prompt_tokens,
            tokens,
            first,
            complete,
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
        Ok((text, complete))
    }

    /// Asks for a command, and once more if something is wrong with it. What it says goes through `accept`, which
    /// makes the command of it.
    fn command(
        &mut self,
        context: &Context,
        asked: &str,
        mut request: Request,
        accept: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(String, Vec<Problem>), ProposeError> {
        let accept = |said: &str, complete: bool| accept(said).filter(|_| complete);
        let problems = |command: &str| {
            let mut problems = check::check(context, command);
            problems.extend(misuse::not_there(context, command, asked));
            problems
        };
        let (said, complete) = self.ask(&request)?;
        let first = accept(&said, complete).map(|command| {
            let problems = problems(&command);
            (command, problems)
        });
        let problem = match &first {
            Some((command, problems)) => match problems.first() {
                Some(problem) => format!(
                    "`{command}` does not work: {problem}.{}",
                    options_instead(context, problem, asked)
                ),
                None => return Ok((command.clone(), vec![])),
            },
            None if !complete => "That is too long.".to_owned(),
            None => "That is no command.".to_owned(),
        };
        let question = std::mem::replace(
            &mut request.question,
            format!("{problem} Write another command for the task."),
        );
        let answer = fenced(first.as_ref().map_or(said.trim(), |(command, _)| command));
        let request = request.example(question, answer);
        let (said, complete) = self.ask(&request)?;
        let second = accept(&said, complete).map(|command| {
            let problems = problems(&command);
            (command, problems)
        });
        match (first, second) {
            (Some(first), Some(second)) if weight(&second.1) <= weight(&first.1) => Ok(second),
            (Some(first), _) => Ok(first),
            (None, Some(second)) => Ok(second),
            (None, None) => Err(ProposeError::NoCommand {
                attempt: said.trim().to_owned(),
                problems: (!complete).then(cut_off).into_iter().collect(),
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

fn cut_off() -> Problem {
    Problem {
        span: 0..0,
        kind: ProblemKind::Syntax {
            message: "the answer was cut off".into(),
        },
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Options of the manual that may have been meant, if one was made up.
fn options_instead(context: &Context, problem: &Problem, asked: &str) -> String {
    let ProblemKind::UnknownOption { program, .. } = &problem.kind else {
        return String::new();
    };
    let Some(manual) = context.machine.manual(&program.replace(' ', "-")) else {
        return String::new();
    };
    let options: Vec<_> = manual
        .options_about(asked, 3)
        .into_iter()
        .map(|(option, meaning)| format!("{option}: {meaning}"))
        .collect();
    if options.is_empty() {
        return String::new();
    }
    one_line(&format!(" It has {}.", options.join("; ")), MANUAL)
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
            ProblemKind::Misuse { .. } => 5,
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
    let files = mentioned(&context.cwd, &asked);
    let similar = similar(context, &asked, &files);
    let question = question(context, &asked, &files);
    let mut asker = Asker::new(model, each);
    let found = asker.command(
        context,
        &asked,
        request(context, &similar, question),
        &|said| command_of(said).map(|command| mended(context, &command, &files, &asked)),
    )?;
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
    let files = mentioned(&context.cwd, typed);
    let similar = similar(context, typed, &files);
    let question = format!(
        "{}complete this half-typed command: {typed}",
        listed(&context.cwd, &files, typed)
    );
    let mut asker = Asker::new(model, each);
    let typed_words = typed.trim_end();
    let found = asker.command(
        context,
        typed,
        request(context, &similar, question),
        &|said| {
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
        },
    )?;
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
    let files = mentioned(&context.cwd, &command);
    let said = if error.is_empty() {
        format!("Failed with status {}: `{command}`", last.status)
    } else {
        format!("Failed: `{command}`\nError: {error}")
    };
    let question = format!(
        "{said}\n{}correct this command",
        listed(&context.cwd, &files, &command)
    );
    let mut asker = Asker::new(model, each);
    let found = asker.command(
        context,
        &command,
        request(context, &[], question),
        &|said| command_of(said).map(|better| mended(context, &better, &files, &command)),
    );
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

/// What is asked, behind what is known about it.
fn question(context: &Context, asked: &str, files: &[String]) -> String {
    let manual = manual_of(context, asked);
    format!("{manual}{}{asked}", listed(&context.cwd, files, asked))
}

/// What the manual says of a program that the request names and no pair has, in a line.
fn manual_of(context: &Context, asked: &str) -> String {
    // Many programs are called by a word that is used without thinking of them, as in "make it so".
    const BEFORE: &[&str] = &[
        "with", "using", "use", "by", "via", "through", "run", "program", "command", "tool", "of",
    ];
    let words = || asked.split(|c: char| !(c.is_alphanumeric() || "-_.+".contains(c)));
    let named = words().zip(std::iter::once("").chain(words()));
    let unusual = |(name, before): &(&str, &str)| {
        name.len() > 2
            && BEFORE.contains(&before.to_lowercase().as_str())
            && !danger::known(name)
            && !check::builtin(name)
            && !pairs::uses(name)
    };
    let Some((name, manual)) = named.filter(unusual).find_map(|(name, _)| {
        context.machine.program(name)?;
        Some((name, context.machine.manual(name)?))
    }) else {
        return String::new();
    };
    let mut out = format!(
        "Manual of {name}: {}",
        manual.summary.as_deref().unwrap_or(name)
    );
    for (option, meaning) in manual.options_about(asked, 3) {
        out.push_str(&format!("; {option}: {meaning}"));
    }
    let mut out = one_line(&out, MANUAL);
    out.push('\n');
    out
}

/// The pairs that the model is shown, the most similar last.
fn similar(context: &Context, asked: &str, files: &[String]) -> Vec<&'static Pair> {
    let around = Around {
        kinds: kinds(&context.cwd, files),
        repository: context
            .cwd
            .ancestors()
            .any(|above| above.join(".git").exists()),
    };
    let mut room = SHOWN_BYTES;
    let mut shown: Vec<&Pair> = vec![];
    for (pair, _) in pairs::nearest_in(asked, context.system, &around, SHOWN * 2) {
        let bytes = pair.ask.len() + pair.run.len();
        let again = shown.iter().any(|other| other.run == pair.run);
        if shown.len() < SHOWN && bytes <= room && !again {
            room -= bytes;
            shown.push(pair);
        }
    }
    shown.reverse();
    shown
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
fn mended(context: &Context, command: &str, files: &[String], asked: &str) -> String {
    let mut command = command.to_owned();
    // Names with spaces that were written without quotes.
    for file in files.iter().filter(|file| file.contains(' ')) {
        if let Some(at) = bare(&command, file) {
            command.replace_range(at..at + file.len(), &quoted(file));
        }
    }
    if let Some(help) = context.machine.busybox_help("find") {
        if !help.contains("[bckM") {
            command = sized(&command);
        }
    }
    if context.root {
        if let Some(rest) = command.strip_prefix("sudo ") {
            if !rest.starts_with('-') && !rest.contains("sudo ") {
                command = rest.into();
            }
        }
    }
    misuse::mended(context, &command, files, asked)
}

/// The sizes that find is told in KiB, the largest unit that busybox has.
fn sized(command: &str) -> String {
    let script = syntax::parse(command);
    let calls = script
        .calls
        .iter()
        .filter(|call| call.name() == Some("find"));
    let sizes = calls.flat_map(|call| call.words.windows(2)).filter(|pair| {
        // Where quotes or a shell within the shell stand between, the places are others.
        pair[0].text == "-size" && command.get(pair[1].span.clone()) == Some(&pair[1].text)
    });
    let mut sizes: Vec<_> = sizes.map(|pair| &pair[1]).collect();
    sizes.sort_by_key(|word| std::cmp::Reverse(word.span.start));
    let mut command = command.to_owned();
    for word in sizes {
        let sign = word.text.len() - word.text.trim_start_matches(['+', '-']).len();
        let (sign, size) = word.text.split_at(sign);
        let kib = match size.strip_suffix('M') {
            Some(number) => number
                .parse::<u64>()
                .ok()
                .and_then(|n| n.checked_mul(1 << 10)),
            None => size
                .strip_suffix('G')
                .and_then(|number| number.parse::<u64>().ok()?.checked_mul(1 << 20)),
        };
        if let Some(kib) = kib {
            command.replace_range(word.span.clone(), &format!("{sign}{kib}k"));
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
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use super::super::{Danger, Last, Machine};
    use super::*;

    /// A model that says what it is told to, and remembers what it was asked.
    struct Fake {
        says: Vec<&'static str>,
        asked: Vec<Request>,
    }

    impl Fake {
        fn new(says: &[&'static str]) -> Self {
            Self {
                says: says.iter().rev().copied().collect(),
                asked: vec![],
            }
        }

        fn questions(&self) -> Vec<&str> {
            self.asked
                .iter()
                .map(|request| request.question.as_str())
                .collect()
        }
    }

    impl Model for Fake {
        fn ask(
            &mut self,
            request: &Request,
            each: &mut dyn FnMut(&str) -> bool,
        ) -> Result<Reply, llamux::Error> {
            self.asked.push(request.clone());
            let text = self
                .says
                .pop()
                .expect("a question that was foreseen")
                .to_owned();
            each(&text);
            Ok(Reply {
                complete: !text.ends_with("..."),
                text,
                prompt_tokens: 10,
                tokens: 5,
                first: Some(Duration::from_millis(3)),
                elapsed: Duration::from_millis(4),
            })
        }
    }

    /// A directory with programs, a manual and some files, which goes away at the end.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let root =
                std::env::temp_dir().join(format!("llamux-propose-{name}-{}", std::process::id()));
            for directory in ["bin", "man/man1", "work"] {
                fs::create_dir_all(root.join(directory)).unwrap();
            }
            for program in ["ls", "cat", "grep", "git", "systemctl", "sudo", "wc"] {
                let path = root.join("bin").join(program);
                fs::write(&path, "").unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            }
            let page = ".SH NAME\nls \\- list\n.SH OPTIONS\n.TP\n\\-\\-all\nshow hidden \
                        files\n.TP\n\\-\\-size\nshow sizes\n.TP\n\\-\\-time\nshow times\n";
            fs::write(root.join("man/man1/ls.1"), page).unwrap();
            fs::write(root.join("work/my notes.txt"), "name,city\nx,y\n").unwrap();
            Self(root)
        }

        fn context(&self) -> Context {
            Context {
                shell: Shell::Bash,
                cwd: self.0.join("work"),
                home: None,
                system: System::Debian,
                root: false,
                last: None,
                history: vec![],
                machine: Machine::of(vec![self.0.join("bin")], vec![self.0.join("man")], vec![]),
            }
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn a_command_that_holds_is_proposed_at_once() {
        let place = Place::new("once");
        let mut model = Fake::new(&["```bash\nls --all | wc -l\n```"]);
        let proposal = propose(&mut model, &place.context(), "how many files", &mut |_| {
            true
        })
        .unwrap();
        assert_eq!(proposal.command, "ls --all | wc -l");
        assert_eq!(proposal.danger, Danger::ReadOnly);
        assert_eq!(proposal.unverified, []);
        assert_eq!((proposal.cost.asked, proposal.cost.tokens), (1, 5));
        assert_eq!(
            proposal.description,
            "List files, then of that count lines, words or bytes"
        );
    }

    #[test]
    fn a_made_up_option_is_told_to_the_model_once() {
        let place = Place::new("option");
        let mut model = Fake::new(&["```\nls --hidden\n```", "```\nls --all\n```"]);
        let proposal = propose(
            &mut model,
            &place.context(),
            "show hidden files",
            &mut |_| true,
        )
        .unwrap();
        assert_eq!(proposal.command, "ls --all");
        assert_eq!(proposal.cost.asked, 2);
        let questions = model.questions();
        assert!(
            questions[1].contains("ls has no option --hidden"),
            "{questions:?}"
        );
        assert!(
            questions[1].contains("--all: show hidden files"),
            "{questions:?}"
        );
        // What was asked first stays in the conversation, so that it is not computed again.
        assert!(model.asked[1].before.len() > model.asked[0].before.len());
    }

    #[test]
    fn what_stays_wrong_is_said() {
        let place = Place::new("stays");
        let mut model = Fake::new(&["```\nls --hidden\n```", "```\nfrobnicate\n```"]);
        let proposal = propose(
            &mut model,
            &place.context(),
            "show hidden files",
            &mut |_| true,
        )
        .unwrap();
        assert_eq!(proposal.command, "frobnicate");
        assert_eq!(
            proposal.unverified[0].to_string(),
            "frobnicate is not installed"
        );
        let mut model = Fake::new(&["```\nls |\n```", "```\nls 'a\n```"]);
        match propose(&mut model, &place.context(), "list", &mut |_| true) {
            Err(ProposeError::NoCommand { attempt, problems }) => {
                assert_eq!(attempt, "ls 'a");
                assert!(!problems.is_empty());
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn half_of_an_answer_is_no_command() {
        let place = Place::new("cut");
        let mut model = Fake::new(&["```\nls ...", "```\nls --all\n```"]);
        let proposal = propose(&mut model, &place.context(), "list", &mut |_| true).unwrap();
        assert_eq!(proposal.command, "ls --all");
        let mut model = Fake::new(&["```\nls ..."; 2]);
        let error = propose(&mut model, &place.context(), "list", &mut |_| true).unwrap_err();
        assert!(
            error.to_string().contains("the answer was cut off"),
            "{error}"
        );
    }

    #[test]
    fn requests_without_words_and_given_up_ones_are_errors() {
        let place = Place::new("empty");
        for text in ["", "  ", "\n\t"] {
            let mut model = Fake::new(&[]);
            let error = propose(&mut model, &place.context(), text, &mut |_| true).unwrap_err();
            assert!(matches!(error, ProposeError::Empty), "{error}");
        }
        let mut model = Fake::new(&["```\nls\n```"]);
        let error = propose(&mut model, &place.context(), "list", &mut |_| false).unwrap_err();
        assert!(matches!(error, ProposeError::Cancelled), "{error}");
    }

    #[test]
    fn long_requests_are_cut() {
        let place = Place::new("long");
        let mut model = Fake::new(&["```\nls\n```"]);
        propose(
            &mut model,
            &place.context(),
            &"list ".repeat(100_000),
            &mut |_| true,
        )
        .unwrap();
        assert!(model.asked[0].question.len() < 2 * REQUEST);
    }

    #[test]
    fn files_that_are_meant_are_shown_and_quoted() {
        let place = Place::new("files");
        let mut model = Fake::new(&["```\ncat my notes.txt\n```"]);
        let proposal = propose(
            &mut model,
            &place.context(),
            "print my notes.txt",
            &mut |_| true,
        )
        .unwrap();
        assert_eq!(proposal.command, "cat 'my notes.txt'");
        let questions = model.questions();
        assert!(
            questions[0].contains("'my notes.txt' is like: name,city / x,y"),
            "{questions:?}"
        );
    }

    #[test]
    fn root_needs_no_sudo_and_others_are_told_of_it() {
        let place = Place::new("root");
        let mut context = place.context();
        let says = "```\nsudo systemctl restart x\n```";
        let proposal = propose(&mut Fake::new(&[says]), &context, "restart x", &mut |_| {
            true
        })
        .unwrap();
        assert_eq!(proposal.notes, ["asks for the rights of root"]);
        assert_eq!(proposal.danger, Danger::ChangesSystem);
        context.root = true;
        let proposal = propose(&mut Fake::new(&[says]), &context, "restart x", &mut |_| {
            true
        })
        .unwrap();
        assert_eq!(proposal.command, "systemctl restart x");
    }

    #[test]
    fn fish_is_given_what_it_understands() {
        let place = Place::new("fish");
        let context = Context {
            shell: Shell::Fish,
            ..place.context()
        };
        let proposal = propose(
            &mut Fake::new(&["```\nls | wc -l\n```"]),
            &context,
            "x",
            &mut |_| true,
        )
        .unwrap();
        assert_eq!(proposal.command, "ls | wc -l");
        let says = "```\nfor f in *; do cat \"$f\"; done > all\n```";
        let asked = "save them all";
        let proposal = propose(&mut Fake::new(&[says]), &context, asked, &mut |_| true).unwrap();
        assert_eq!(
            proposal.command,
            "bash -c 'for f in *; do cat \"$f\"; done > all'"
        );
        let span = proposal.reasons[0].span.clone();
        assert_eq!(&proposal.command[span], "all");
    }

    #[test]
    fn half_typed_commands_are_completed() {
        let place = Place::new("half");
        let mut context = place.context();
        for (typed, says, expected) in [
            ("ls -", "```\nls --all\n```", "ls --all"),
            ("cat x | wc", "```\ncat x | wc -l\n```", "cat x | wc -l"),
            ("cat x | wc", "```\n-l\n```", "cat x | wc -l"),
            ("git log ", "```\n--oneline\n```", "git log --oneline"),
        ] {
            let proposal =
                complete(&mut Fake::new(&[says]), &context, typed, &mut |_| true).unwrap();
            assert_eq!(proposal.command, expected, "{typed}");
        }
        // Something else is no completion.
        let error = complete(
            &mut Fake::new(&["```\ncat\n```"; 2]),
            &context,
            "ls",
            &mut |_| true,
        )
        .unwrap_err();
        assert!(matches!(error, ProposeError::NoCommand { .. }), "{error}");
        // What was run before needs no model.
        context.history = vec!["grep -c a b".into(), "ls".into()];
        let proposal = complete(&mut Fake::new(&[]), &context, "grep", &mut |_| true).unwrap();
        assert_eq!(proposal.command, "grep -c a b");
    }

    #[test]
    fn common_mistakes_are_put_right_without_a_model() {
        let place = Place::new("mistakes");
        for (command, status, error, expected) in [
            ("gti status", 127, "", "git status"),
            ("ls | grpe a", 127, "", "ls | grep a"),
            (
                "git stauts",
                1,
                "git: 'stauts' is not a git command.\n\nThe most similar command is\n\tstatus\n",
                "git status",
            ),
            (
                "cat 'my note.txt'",
                1,
                "cat: 'my note.txt': No such file or directory",
                "cat 'my notes.txt'",
            ),
            (
                "systemctl restart nginx",
                1,
                "Failed to restart: Operation not permitted",
                "sudo systemctl restart nginx",
            ),
        ] {
            let mut context = place.context();
            context.last = Some(Last {
                command: command.into(),
                status,
                error: Some(error.into()),
            });
            let fix = fix(&mut Fake::new(&[]), &context, &mut |_| true).unwrap();
            assert_eq!(
                fix.proposal.unwrap().command,
                expected,
                "{}",
                fix.explanation
            );
        }
    }

    #[test]
    fn failures_are_explained_and_what_did_not_fail_is_not() {
        let place = Place::new("explained");
        for (command, status, error, expected) in [
            ("grep a b", 1, "", "nothing matched; that is no error"),
            (
                "ls",
                137,
                "",
                "ls was killed (signal 9), by somebody or because memory ran out",
            ),
            (
                "ls",
                2,
                "ls: x: No space left on device",
                "the file system is full (it said: ls: x: No space left on device)",
            ),
        ] {
            let mut context = place.context();
            context.last = Some(Last {
                command: command.into(),
                status,
                error: Some(error.into()),
            });
            // The same command again is no way out.
            let again: &'static str = Box::leak(format!("```\n{command}\n```").into_boxed_str());
            let fix = fix(&mut Fake::new(&[again]), &context, &mut |_| true).unwrap();
            assert_eq!(fix.explanation, expected);
            assert_eq!(fix.proposal, None);
        }
        for last in [
            None,
            Some(Last {
                command: "ls".into(),
                ..Last::default()
            }),
        ] {
            let context = Context {
                last,
                ..place.context()
            };
            let error = fix(&mut Fake::new(&[]), &context, &mut |_| true).unwrap_err();
            assert!(matches!(error, ProposeError::NothingFailed), "{error}");
        }
    }

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
    fn sizes_are_told_in_units_that_busybox_has() {
        for (command, expected) in [
            (
                "find ~ -type f -size +100M -o -size -2G | sort",
                "find ~ -type f -size +102400k -o -size -2097152k | sort",
            ),
            (
                "find . -size 5k -size +1c -size '+1M'",
                "find . -size 5k -size +1c -size '+1M'",
            ),
            (
                "find . -size +99999999999999999999G",
                "find . -size +99999999999999999999G",
            ),
            ("ls -size +1M", "ls -size +1M"),
        ] {
            assert_eq!(sized(command), expected);
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
