// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What is shown below the line: that the model thinks, what it proposes, and what may be done with it.

use std::time::Duration;

use llamux_assistant::command::{Danger, Part, Proposal, ProposeError};

use crate::console::{Console, Event};
use crate::keys::{self, Key};
use crate::paint::{self, Block, Look, Style, Text};
use crate::shells::Answer;
use crate::worker::{Outcome, Place, Task, Worker};

/// How a dialogue ended.
#[derive(Debug)]
pub(crate) struct Held {
    /// What the shell is to do.
    pub(crate) answer: Answer,
    /// Why there is no model to ask, if that is why nothing came of it.
    pub(crate) absent: Option<Absent>,
}

/// A model that cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// Not by us, and not later.
    ForGood,
    /// Not now.
    ForNow,
}

impl Absent {
    /// Whether this error says so.
    pub(crate) fn why(error: &ProposeError) -> Option<Self> {
        use llamux::Error;
        let ProposeError::Model(error) = error else {
            return None;
        };
        match error {
            Error::NotSupported { .. } | Error::Forbidden | Error::Device(_) => Some(Self::ForGood),
            Error::NoModel { .. } | Error::Loading | Error::UnknownModel { .. } => {
                Some(Self::ForNow)
            }
            _ => None,
        }
    }
}

impl From<Answer> for Held {
    fn from(answer: Answer) -> Self {
        Self {
            answer,
            absent: None,
        }
    }
}

/// Has the model asked, shows what comes of it, and asks the user. A failure is said as well.
///
/// The cursor is at the beginning of an empty line, and is there in the end.
pub(crate) fn hold(console: &mut Console, worker: &Worker, task: Task, place: &Place) -> Held {
    match ask(console, worker, task, place) {
        Ok(answer) => answer.into(),
        Err(ProposeError::Cancelled) => Answer::Back.into(),
        Err(error) => {
            let text = Text::new("lsh: ", Style::Dim).and(&error.to_string(), Style::Plain);
            say(console, &text);
            Held {
                answer: Answer::Back,
                absent: Absent::why(&error),
            }
        }
    }
}

/// The same without a word about a failure.
pub(crate) fn ask(
    console: &mut Console,
    worker: &Worker,
    task: Task,
    place: &Place,
) -> Result<Answer, ProposeError> {
    let mut dialogue = Dialogue {
        console,
        worker,
        place,
        block: Block::default(),
    };
    let answer = match dialogue.think(task) {
        Ok(Outcome::Proposal(proposal)) => Ok(dialogue.choose(&proposal)),
        Ok(Outcome::Fix(fix)) => {
            dialogue.say(&[Text::new(&fix.explanation, Style::Plain)]);
            Ok(match &fix.proposal {
                Some(proposal) => dialogue.choose(proposal),
                None => Answer::Drop,
            })
        }
        Ok(Outcome::Parts(_)) => Ok(Answer::Back),
        Ok(Outcome::Failed(error)) => Err(error),
        Err(answer) => Ok(answer),
    };
    dialogue.clear();
    answer
}

/// Shows a line that stays.
pub(crate) fn say(console: &mut Console, text: &Text) {
    let mut block = Block::default();
    let mut out = block.draw(std::slice::from_ref(text), console.look());
    out.push_str(block.keep());
    console.write(out.as_bytes());
}

/// A dialogue.
struct Dialogue<'d> {
    console: &'d mut Console,
    worker: &'d Worker,
    place: &'d Place,
    block: Block,
}

/// Until a person wonders.
const SOON: Duration = Duration::from_millis(250);
/// Between two pictures of the time that goes by.
const MOVES: Duration = Duration::from_millis(500);

impl Dialogue<'_> {
    fn draw(&mut self, texts: &[Text]) {
        let look = self.console.look();
        let out = self.block.draw(texts, look);
        self.console.write(out.as_bytes());
    }

    fn clear(&mut self) {
        let look = self.console.look();
        let out = self.block.erase(look);
        self.console.write(out.as_bytes());
    }

    /// Shows something that stays.
    fn say(&mut self, texts: &[Text]) {
        self.draw(texts);
        let out = self.block.keep();
        self.console.write(out.as_bytes());
    }

    /// The next key, or what else ends the dialogue. A paste is none.
    fn key(&mut self) -> Option<Key> {
        match self.console.wait(Duration::from_secs(3600)) {
            Event::Typed(bytes) => match keys::keys(&bytes)[..] {
                [key] => Some(key),
                _ => Some(Key::Other),
            },
            Event::Gone => None,
            Event::Resized | Event::Woken | Event::Tick => Some(Key::Other),
        }
    }

    /// Waits for what the model says; `Err` is what to do if the user does not want to.
    fn think(&mut self, task: Task) -> Result<Outcome, Answer> {
        let wake = self.console.waker().ok();
        let mut tick = if wake.is_some() {
            SOON
        } else {
            Duration::from_millis(20)
        };
        let job = self.worker.begin(task, self.place.clone(), wake);
        loop {
            if let Some(outcome) = job.outcome() {
                return Ok(outcome);
            }
            match self.console.wait(tick) {
                Event::Typed(bytes) => match keys::keys(&bytes)[..] {
                    [Key::Escape] => return Err(Answer::Back),
                    [Key::Interrupt | Key::EndOfFile] => return Err(Answer::Drop),
                    _ => (),
                },
                Event::Gone => return Err(Answer::Drop),
                Event::Resized | Event::Tick => {
                    let time = job.begun.elapsed().as_secs();
                    if self.console.look().moves {
                        let text = match time {
                            0 => "thinking …".to_owned(),
                            time @ 1..10 => format!("thinking … {time} s"),
                            time => format!("thinking … {time} s; others may be asking, too"),
                        };
                        self.draw(&[
                            Text::new(&text, Style::Dim).and("   Esc gives up", Style::Dim)
                        ]);
                    }
                    tick = MOVES;
                }
                Event::Woken => (),
            }
        }
    }

    /// Shows a proposal, and asks what to do with it.
    fn choose(&mut self, proposal: &Proposal) -> Answer {
        if paint::hides_something(&proposal.command) || proposal.command.trim().is_empty() {
            let text =
                "The proposed command has characters that cannot be shown, so it is not offered.";
            self.say(&[Text::new(text, Style::Plain)]);
            return Answer::Back;
        }
        let mut parts: Option<Vec<Part>> = None;
        let mut first = true;
        loop {
            let look = self.console.look();
            let screen = Screen::new(proposal, parts.as_deref(), look);
            self.draw(&screen.texts);
            if std::mem::take(&mut first) {
                self.console.forget();
            }
            let Some(key) = self.key() else {
                return Answer::Drop;
            };
            let answer = match key {
                Key::Char('r' | 'R') if screen.runs => {
                    if proposal.danger >= Danger::NeedsCare && !self.confirm(proposal, &screen) {
                        continue;
                    }
                    Answer::Run(proposal.command.clone())
                }
                Key::Char('e' | 'E') | Key::Enter => Answer::Edit(proposal.command.clone()),
                Key::Char('d' | 'D') if parts.is_none() => {
                    let task = Task::Describe(proposal.command.clone());
                    let job = self.worker.begin(task, self.place.clone(), None);
                    if let Outcome::Parts(found) = job.wait() {
                        parts = Some(found);
                    }
                    continue;
                }
                Key::Char('d' | 'D') => {
                    parts = None;
                    continue;
                }
                Key::Escape => return Answer::Back,
                Key::Char('n' | 'N' | 'q') | Key::Interrupt | Key::EndOfFile => {
                    return Answer::Drop
                }
                _ => continue,
            };
            self.say(&[remark(proposal)]);
            return answer;
        }
    }

    /// Has the user type that a dangerous command is to run.
    fn confirm(&mut self, proposal: &Proposal, screen: &Screen) -> bool {
        let why = proposal
            .reasons
            .first()
            .map_or("it", |reason| reason.what.as_str());
        let ask = format!("This {why}. Type yes to run it: ");
        let mut typed = String::new();
        loop {
            let mut texts = screen.texts.clone();
            texts.pop();
            texts.push(Text::new(&ask, Style::Danger).and(&typed, Style::Bold));
            self.draw(&texts);
            match self.key() {
                Some(Key::Char(c)) if typed.chars().count() < 8 => typed.push(c),
                Some(Key::Backspace) => drop(typed.pop()),
                Some(Key::Enter) => return typed.trim().eq_ignore_ascii_case("yes"),
                Some(Key::Escape | Key::Interrupt | Key::EndOfFile) | None => return false,
                Some(_) => (),
            }
        }
    }
}

/// What stays of a proposal that was taken.
fn remark(proposal: &Proposal) -> Text {
    Text::new(&proposal.description, Style::Dim)
        .and(&format!(" ({})", proposal.danger.name()), Style::Dim)
}

/// A proposal as it is shown.
struct Screen {
    texts: Vec<Text>,
    /// Whether it may be run from here.
    runs: bool,
}

impl Screen {
    fn new(proposal: &Proposal, parts: Option<&[Part]>, look: Look) -> Self {
        let mut texts = vec![
            paint::command(&proposal.command),
            Text::new(&proposal.description, Style::Plain),
            danger(proposal),
        ];
        let most = look.height.saturating_sub(2).max(4);
        let menu_rows = paint::rows(&[menu(true, true)], look);
        // What cannot be seen as a whole is not run, only edited.
        let whole = paint::rows(&texts, look) + menu_rows <= most;
        if !whole {
            let text = "The command is longer than the screen: edit shows it.";
            texts[0] = Text::new(text, Style::Warning);
        }
        for problem in &proposal.unverified {
            let text = format!("not verified: {problem}");
            texts.push(Text::new(&text, Style::Warning));
        }
        for note in &proposal.notes {
            texts.push(Text::new(note, Style::Dim));
        }
        if let Some(parts) = parts {
            texts.extend(parts.iter().map(part));
        }
        let runs = whole && proposal.unverified.is_empty();
        // What is said about it gives way first.
        while paint::rows(&texts, look) + menu_rows > most && texts.len() > 3 {
            texts.pop();
        }
        texts.push(menu(runs, parts.is_some()));
        Self { texts, runs }
    }
}

/// The class of a command, and why it is in it.
pub(crate) fn danger(proposal: &Proposal) -> Text {
    let style = match proposal.danger {
        Danger::ReadOnly => Style::Good,
        Danger::ChangesFiles | Danger::Unknown | Danger::ChangesSystem => Style::Warning,
        Danger::NeedsCare => Style::Danger,
    };
    let mut whys: Vec<&str> = Vec::new();
    for reason in &proposal.reasons {
        if !whys.contains(&reason.what.as_str()) {
            whys.push(&reason.what);
        }
    }
    let text = Text::new(proposal.danger.name(), style);
    if whys.is_empty() {
        return text;
    }
    text.and(": ", Style::Plain)
        .and(&whys.join("; "), Style::Plain)
}

/// A part of a command and what it means.
fn part(part: &Part) -> Text {
    let indent = "  ".repeat(part.depth.min(8));
    let text = Text::new(&indent, Style::Plain).and(&part.text, Style::Bold);
    match &part.meaning {
        Some(meaning) => text.and("  ", Style::Plain).and(meaning, Style::Plain),
        None => text,
    }
}

/// What may be done.
fn menu(runs: bool, described: bool) -> Text {
    let mut text = Text::default();
    let describe = if described {
        "]escribe less"
    } else {
        "]escribe"
    };
    for (shown, key, rest) in [
        (runs, "r", "]un"),
        (true, "e", "]dit"),
        (true, "d", describe),
        (true, "n", "]o"),
        (true, "Esc", "] back"),
    ] {
        if shown {
            text = text
                .and("[", Style::Dim)
                .and(key, Style::Bold)
                .and(rest, Style::Dim)
                .and("  ", Style::Plain);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use llamux_assistant::command::{Problem, ProblemKind, Reason};

    use super::*;

    const LOOK: Look = Look {
        width: 80,
        height: 24,
        colour: false,
        moves: true,
    };

    fn proposal(command: &str) -> Proposal {
        Proposal {
            command: command.to_owned(),
            description: "Removes files".to_owned(),
            danger: Danger::NeedsCare,
            reasons: vec![Reason {
                span: 0..2,
                what: "deletes files".to_owned(),
                danger: Danger::NeedsCare,
            }],
            notes: vec![],
            unverified: vec![],
            cost: llamux_assistant::command::Cost::default(),
        }
    }

    fn shown(screen: &Screen, look: Look) -> String {
        Block::default().draw(&screen.texts, look)
    }

    #[test]
    fn proposal_is_shown_with_its_danger_and_the_choice() {
        let screen = Screen::new(&proposal("rm x"), None, LOOK);
        assert!(screen.runs);
        assert_eq!(
            shown(&screen, LOOK),
            "  rm x\r\n  Removes files\r\n  needs-care: deletes files\r\n  \
             [r]un  [e]dit  [d]escribe  [n]o  [Esc] back  "
        );
    }

    #[test]
    fn what_was_not_verified_or_does_not_fit_is_not_run() {
        let mut unverified = proposal("frob x");
        unverified.unverified.push(Problem {
            span: 0..4,
            kind: ProblemKind::NotInstalled {
                program: "frob".into(),
                install: None,
            },
        });
        let screen = Screen::new(&unverified, None, LOOK);
        assert!(!screen.runs);
        assert!(shown(&screen, LOOK).contains("not verified: frob is not installed"));
        assert!(!shown(&screen, LOOK).contains("[r]un"));
        let long = proposal(&"echo a; ".repeat(300));
        let screen = Screen::new(&long, None, LOOK);
        assert!(!screen.runs);
        assert!(shown(&screen, LOOK).contains("longer than the screen"));
    }

    #[test]
    fn whole_dialogue_fits_the_screen() {
        let parts: Vec<Part> = (0..60)
            .map(|n| Part {
                span: 0..1,
                text: format!("--option-{n}"),
                meaning: Some(
                    "means something that takes more than one line of eighty columns to say so"
                        .into(),
                ),
                depth: 1,
            })
            .collect();
        for (width, height) in [(80, 24), (200, 60), (40, 10), (30, 12)] {
            let look = Look {
                width,
                height,
                ..LOOK
            };
            let screen = Screen::new(&proposal("rm x"), Some(&parts), look);
            let lines = shown(&screen, look);
            assert!(lines.split("\r\n").count() < height, "{width}x{height}");
            assert!(
                lines.split("\r\n").all(|line| line.len() < width),
                "{width}x{height}"
            );
        }
    }
}
