// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Has the model write a command, and keeps what holds.

use super::files::{listed, mentioned, one_line};
use super::{
    check, danger, describe, syntax, Context, Cost, Problem, ProblemKind, Proposal, ProposeError,
    Shell,
};
use crate::Model;
use answer::{command_of, mended};
use asker::Asker;
use asking::{question, request, similar};

mod answer;
mod asker;
mod asking;
mod failure;

pub(super) use failure::fix;

/// Longest request that is shown to the model, in characters.
const REQUEST: usize = 400;

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
        proposal.command = format!("bash -c {}", syntax::quoted(&proposal.command));
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use super::super::{testing, Danger, Last, Machine, System};
    use super::answer::sized;
    use super::*;
    use crate::{Reply, Request};

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
    struct Place(testing::Place);

    impl Place {
        fn new(name: &str) -> Self {
            let page = ".SH NAME\nls \\- list\n.SH OPTIONS\n.TP\n\\-\\-all\nshow hidden \
                        files\n.TP\n\\-\\-size\nshow sizes\n.TP\n\\-\\-time\nshow times\n";
            let place = testing::Place::new(
                &format!("propose-{name}"),
                &[
                    ("bin/", b""),
                    ("man/man1/ls.1", page.as_bytes()),
                    ("work/my notes.txt", b"name,city\nx,y\n"),
                ],
            );
            for program in ["ls", "cat", "grep", "git", "systemctl", "sudo", "wc"] {
                let path = place.path().join("bin").join(program);
                fs::write(&path, "").unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            }
            Self(place)
        }

        fn context(&self) -> Context {
            Context {
                shell: Shell::Bash,
                cwd: self.0.path().join("work"),
                home: None,
                system: System::Debian,
                root: false,
                last: None,
                history: vec![],
                machine: Machine::of(
                    vec![self.0.path().join("bin")],
                    vec![self.0.path().join("man")],
                    vec![],
                ),
            }
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
}
