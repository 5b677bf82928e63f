// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What the screen shows, and what keys do with it. Nothing here reads or writes a file.

use std::collections::VecDeque;

use llamux::Owner;
use llamux_facts::text::shown;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tui_input::{Input, InputRequest};

use crate::act::{self, Access, Change};
use crate::panes::{limit_words, Findings, Look, Pane, Told};
use crate::rates::Rates;
use crate::snapshot::{Snapshot, SETTINGS};

/// How many seconds of speed are kept.
const HISTORY: usize = 60;

/// What the keys are about.
#[derive(Debug, Default)]
pub(crate) enum Mode {
    #[default]
    Look,
    Help,
    /// A change that wants a yes.
    Confirm {
        question: String,
        change: Change,
    },
    /// A line is being edited.
    Edit {
        title: String,
        input: Input,
        target: Target,
        /// What is wrong with the line.
        wrong: Option<String>,
    },
}

/// What an edited line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Load,
    Limits,
    /// The number of the setting.
    Setting(usize),
}

/// What is to be done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Quit,
    Suspend,
    Apply(Change),
}

/// The state of the screen.
pub(crate) struct App {
    pub(crate) snapshot: Option<Snapshot>,
    pub(crate) rates: Rates,
    pub(crate) history: VecDeque<f64>,
    pub(crate) findings: Findings,
    pub(crate) look: Look,
    pub(crate) access: Access,
    pub(crate) pane: Pane,
    /// The chosen line of each list.
    pub(crate) chosen: [usize; Pane::ALL.len()],
    pub(crate) mode: Mode,
    /// What was done last, or why not.
    pub(crate) message: Option<Result<String, String>>,
}

impl App {
    pub(crate) fn new(look: Look, access: Access) -> Self {
        Self {
            snapshot: None,
            rates: Rates::default(),
            history: VecDeque::new(),
            findings: Findings::Looking,
            look,
            access,
            pane: Pane::Sessions,
            chosen: [0; Pane::ALL.len()],
            mode: Mode::Look,
            message: None,
        }
    }

    /// The kernel was looked at.
    pub(crate) fn seen(&mut self, snapshot: Snapshot) {
        if let Some(before) = &self.snapshot {
            let rates = Rates::between(before, &snapshot);
            if let Some(speed) = rates.decode {
                self.history.push_back(speed);
                if self.history.len() > HISTORY {
                    self.history.pop_front();
                }
            }
            if rates != Rates::default() {
                self.rates = rates;
            }
        }
        self.snapshot = Some(snapshot);
        self.keep_choice();
    }

    /// What is told now.
    pub(crate) fn told<'a>(&'a self, snapshot: &'a Snapshot, history: &'a [f64]) -> Told<'a> {
        Told {
            snapshot,
            rates: &self.rates,
            findings: &self.findings,
            history,
            look: self.look,
        }
    }

    /// The chosen line of the list that is shown.
    pub(crate) fn chosen(&self) -> usize {
        self.chosen.get(place(self.pane)).copied().unwrap_or(0)
    }

    fn rows(&self, pane: Pane) -> usize {
        let Some(snapshot) = &self.snapshot else {
            return 0;
        };
        match (pane, &self.findings) {
            (Pane::Findings, Findings::Found(all)) => all.len(),
            (Pane::Findings, _) => 0,
            _ => self.told(snapshot, &[]).table(pane).rows.len(),
        }
    }

    /// A line that is gone is not chosen.
    fn keep_choice(&mut self) {
        for pane in Pane::ALL {
            let last = self.rows(pane).saturating_sub(1);
            if let Some(chosen) = self.chosen.get_mut(place(pane)) {
                *chosen = (*chosen).min(last);
            }
        }
    }

    fn step(&mut self, by: isize) {
        let last = self.rows(self.pane).saturating_sub(1);
        if let Some(chosen) = self.chosen.get_mut(place(self.pane)) {
            *chosen = chosen.saturating_add_signed(by).min(last);
        }
    }

    /// A key.
    pub(crate) fn key(&mut self, key: KeyEvent) -> Option<Effect> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return Some(Effect::Quit),
            KeyCode::Char('z') if control => return Some(Effect::Suspend),
            _ => (),
        }
        match std::mem::take(&mut self.mode) {
            Mode::Look => self.look_key(key.code, control),
            Mode::Help => match key.code {
                KeyCode::Char('q') => Some(Effect::Quit),
                _ => None,
            },
            Mode::Confirm { question, change } => match key.code {
                KeyCode::Char('y' | 'Y') => Some(Effect::Apply(change)),
                KeyCode::Char('n' | 'N' | 'q') | KeyCode::Esc => {
                    self.message = Some(Ok("nothing was changed".to_owned()));
                    None
                }
                _ => {
                    self.mode = Mode::Confirm { question, change };
                    None
                }
            },
            Mode::Edit {
                title,
                input,
                target,
                ..
            } => self.edit_key(title, input, target, key.code, control),
        }
    }

    fn look_key(&mut self, code: KeyCode, control: bool) -> Option<Effect> {
        if control {
            return None;
        }
        self.message = None;
        match code {
            KeyCode::Char('q') => return Some(Effect::Quit),
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.mode = Mode::Help,
            KeyCode::Tab | KeyCode::Right => self.turn(1),
            KeyCode::BackTab | KeyCode::Left => self.turn(Pane::ALL.len() - 1),
            KeyCode::Char(digit @ '1'..='5') => {
                let index = digit.to_digit(10).unwrap_or(1) as usize - 1;
                self.pane = Pane::ALL.get(index).copied().unwrap_or(self.pane);
            }
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::PageDown => self.step(10),
            KeyCode::PageUp => self.step(-10),
            KeyCode::Home => self.step(isize::MIN),
            KeyCode::End => self.step(isize::MAX),
            code => self.act(code),
        }
        None
    }

    fn turn(&mut self, by: usize) {
        let next = (place(self.pane) + by) % Pane::ALL.len();
        self.pane = Pane::ALL.get(next).copied().unwrap_or(self.pane);
    }

    /// The keys that change something.
    fn act(&mut self, code: KeyCode) {
        match (self.pane, code) {
            (Pane::Sessions, KeyCode::Char('c') | KeyCode::Enter) => self.ask_to_cancel(),
            (Pane::Models, KeyCode::Char('d') | KeyCode::Enter) => self.ask_for_model("default"),
            (Pane::Models, KeyCode::Char('u')) => self.ask_for_model("unload"),
            (Pane::Models, KeyCode::Char('l')) => {
                self.edit(Target::Load, "Load: NAME [requant=TYPE|fit]", String::new())
            }
            (Pane::Users, KeyCode::Char('e') | KeyCode::Enter) => self.edit_limits(),
            (Pane::Users, KeyCode::Char('n')) => {
                self.edit(Target::Limits, "Limits of another user", "user=".to_owned());
            }
            (Pane::Users, KeyCode::Char('r')) => self.ask_for_default_limits(),
            (Pane::Settings, KeyCode::Char('e') | KeyCode::Enter) => self.edit_setting(),
            _ => (),
        }
    }

    fn refuse(&mut self, why: String) {
        self.message = Some(Err(why));
    }

    fn ask_to_cancel(&mut self) {
        if let Some(why) = &self.access.nothing {
            return self.refuse(why.clone());
        }
        let Some(snapshot) = &self.snapshot else {
            return;
        };
        let Some(session) = snapshot.sessions.get(self.chosen()) else {
            return self.refuse("there is no session".to_owned());
        };
        if session.state != "answering" {
            let why = format!("session {} has no answer under way", session.number);
            return self.refuse(why);
        }
        let question = format!(
            "End the answer of session {} ({}, {} {})?",
            session.number,
            shown(&snapshot.user(session.user)),
            shown(&session.comm),
            session.pid
        );
        let change = Change::Cancel(session.clone());
        self.mode = Mode::Confirm { question, change };
    }

    fn ask_for_model(&mut self, file: &str) {
        if let Some(why) = self.access.refusal(file) {
            return self.refuse(why);
        }
        let models = self.snapshot.as_ref().map(|snapshot| &snapshot.models);
        let Some(model) = models.and_then(|models| models.get(self.chosen())) else {
            return self.refuse("there is no model: l loads one".to_owned());
        };
        let name = shown(&model.name);
        let question = match file {
            "default" if model.default => {
                return self.refuse(format!("{name} is the default model already"));
            }
            "default" if model.state != "ready" => {
                return self.refuse(format!("{name} is not ready"));
            }
            "default" => format!("Have {name} answer those who name no model?"),
            _ if model.default => format!("Unload {name}, the default model? Then there is none."),
            _ => format!("Unload {name}?"),
        };
        let change = Change::Write {
            file: file.to_owned(),
            text: model.name.clone(),
        };
        self.mode = Mode::Confirm { question, change };
    }

    fn owner(&self) -> Option<Option<Owner>> {
        let snapshot = self.snapshot.as_ref()?;
        let owners = self.told(snapshot, &[]).owners();
        owners.get(self.chosen()).copied()
    }

    fn edit_limits(&mut self) {
        let (Some(owner), Some(snapshot)) = (self.owner(), &self.snapshot) else {
            return self.refuse("there is no user: n gives one limits".to_owned());
        };
        let whose = match owner {
            None => "default".to_owned(),
            Some(Owner::User(uid)) => format!("user={uid}"),
            Some(_) => return self.refuse("others have the default limits".to_owned()),
        };
        let Some(limits) = self.told(snapshot, &[]).limits(owner) else {
            return self.refuse("this kernel has no limits".to_owned());
        };
        let line = format!("{whose} {}", limit_words(&limits));
        self.edit(Target::Limits, "Limits; 0 is none", line);
    }

    fn ask_for_default_limits(&mut self) {
        if let Some(why) = self.access.refusal("limits") {
            return self.refuse(why);
        }
        let (Some(Some(Owner::User(uid))), Some(snapshot)) = (self.owner(), &self.snapshot) else {
            return self.refuse("this is no user".to_owned());
        };
        if !snapshot
            .limits
            .iter()
            .any(|limits| limits.user == Some(uid))
        {
            return self.refuse("this user has no limits of its own".to_owned());
        }
        self.mode = Mode::Confirm {
            question: format!("Give {} the default limits?", shown(&snapshot.user(uid))),
            change: Change::Write {
                file: "limits".to_owned(),
                text: format!("user={uid} default"),
            },
        };
    }

    fn edit_setting(&mut self) {
        let index = self.chosen();
        let value = self.snapshot.as_ref().and_then(|s| s.settings.get(index));
        let (Some((file, what, _)), Some(value)) = (SETTINGS.get(index), value.cloned()) else {
            return;
        };
        match value {
            None => self.refuse(format!("this kernel has no {file}")),
            Some(value) if value.contains('\n') => {
                self.refuse(format!("{file} has several lines: write the file"));
            }
            Some(value) => self.edit(Target::Setting(index), &format!("{file}: {what}"), value),
        }
    }

    fn edit(&mut self, target: Target, title: &str, line: String) {
        if let Some(why) = self.access.refusal(target.file()) {
            return self.refuse(why);
        }
        let input = Input::new(line);
        let wrong = target.check(input.value()).err();
        self.mode = Mode::Edit {
            title: title.to_owned(),
            input,
            target,
            wrong,
        };
    }

    fn edit_key(
        &mut self,
        title: String,
        mut input: Input,
        target: Target,
        code: KeyCode,
        control: bool,
    ) -> Option<Effect> {
        let request = match code {
            KeyCode::Esc => {
                self.message = Some(Ok("nothing was changed".to_owned()));
                return None;
            }
            KeyCode::Enter => {
                if let Ok(text) = target.check(input.value()) {
                    let file = target.file().to_owned();
                    return Some(Effect::Apply(Change::Write { file, text }));
                }
                None
            }
            KeyCode::Char('u') if control => Some(InputRequest::DeleteLine),
            KeyCode::Char('w') if control => Some(InputRequest::DeletePrevWord),
            KeyCode::Char('a') if control => Some(InputRequest::GoToStart),
            KeyCode::Char('e') if control => Some(InputRequest::GoToEnd),
            KeyCode::Char('k') if control => Some(InputRequest::DeleteTillEnd),
            KeyCode::Char(_) if control => None,
            KeyCode::Char(character) => Some(InputRequest::InsertChar(character)),
            KeyCode::Backspace => Some(InputRequest::DeletePrevChar),
            KeyCode::Delete => Some(InputRequest::DeleteNextChar),
            KeyCode::Left => Some(InputRequest::GoToPrevChar),
            KeyCode::Right => Some(InputRequest::GoToNextChar),
            KeyCode::Home => Some(InputRequest::GoToStart),
            KeyCode::End => Some(InputRequest::GoToEnd),
            _ => None,
        };
        if let Some(request) = request {
            input.handle(request);
        }
        let wrong = target.check(input.value()).err();
        self.mode = Mode::Edit {
            title,
            input,
            target,
            wrong,
        };
        None
    }
}

impl Target {
    /// The file that the line is written to.
    fn file(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Limits => "limits",
            Self::Setting(index) => SETTINGS.get(index).map_or("", |(file, _, _)| *file),
        }
    }

    /// The line as it is written, or what is wrong with it.
    fn check(self, line: &str) -> Result<String, String> {
        match self {
            Self::Load => act::load(line),
            Self::Limits => act::limits(line),
            Self::Setting(index) => match SETTINGS.get(index) {
                Some((_, _, allowed)) => act::setting(line, *allowed),
                None => Err("there is no such setting".to_owned()),
            },
        }
    }
}

/// Where a list is among all.
fn place(pane: Pane) -> usize {
    Pane::ALL.iter().position(|&one| one == pane).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn app(files: &[&str]) -> App {
        let access = Access {
            nothing: None,
            files: files.iter().map(|&file| file.to_owned()).collect(),
        };
        let mut app = App::new(Look::PLAIN, access);
        let (before, after) = testing::recorded();
        app.seen(before);
        app.seen(after);
        app
    }

    fn press(app: &mut App, keys: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        for character in keys.chars() {
            let key = match character {
                '\n' => KeyCode::Enter,
                '\x1b' => KeyCode::Esc,
                '\x7f' => KeyCode::Backspace,
                '\x15' => {
                    let key = KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL);
                    effects.extend(app.key(key));
                    continue;
                }
                other => KeyCode::Char(other),
            };
            effects.extend(app.key(KeyEvent::from(key)));
        }
        effects
    }

    fn write(file: &str, text: &str) -> Vec<Effect> {
        vec![Effect::Apply(Change::Write {
            file: file.to_owned(),
            text: text.to_owned(),
        })]
    }

    #[test]
    fn an_answer_is_ended_when_that_was_confirmed() {
        let mut app = app(&[]);
        // The second session is idle.
        assert_eq!(press(&mut app, "jc"), []);
        assert!(matches!(&app.message, Some(Err(why)) if why.contains("no answer under way")));
        assert_eq!(press(&mut app, "kc"), []);
        assert_eq!(press(&mut app, "n"), []);
        assert_eq!(press(&mut app, "cx"), []);
        let effects = press(&mut app, "y");
        let first = app.snapshot.as_ref().unwrap().sessions[0].clone();
        assert_eq!(effects, [Effect::Apply(Change::Cancel(first))]);
        assert!(matches!(app.mode, Mode::Look));
    }

    #[test]
    fn models_are_chosen_loaded_and_unloaded() {
        let mut app = app(&["load", "unload", "default"]);
        assert_eq!(press(&mut app, "3d"), []);
        assert!(matches!(&app.message, Some(Err(why)) if why.contains("already")));
        assert_eq!(press(&mut app, "jd"), []);
        assert!(matches!(&app.message, Some(Err(why)) if why.contains("not ready")));
        assert_eq!(press(&mut app, "uy"), write("unload", "broken"));
        assert_eq!(press(&mut app, "lq x\n"), [], "that is not an option");
        assert_eq!(press(&mut app, "\x7f\x7f\n"), write("load", "q"));
    }

    #[test]
    fn limits_are_edited_and_given_back() {
        let mut app = app(&["limits"]);
        press(&mut app, "2jj");
        assert_eq!(app.owner(), Some(None));
        let line = "default sessions=64 queued=16 tokens_per_minute=0 context=512";
        assert_eq!(press(&mut app, "e\x7f512\n"), write("limits", line));
        assert_eq!(press(&mut app, "r"), []);
        assert!(
            matches!(app.message, Some(Err(_))),
            "the default has no default"
        );
        press(&mut app, "k");
        assert_eq!(app.owner(), Some(Some(Owner::User(1000))));
        assert_eq!(press(&mut app, "ry"), write("limits", "user=1000 default"));
        assert_eq!(
            press(&mut app, "n7 queued=1\n"),
            write("limits", "user=7 queued=1")
        );
    }

    #[test]
    fn a_setting_out_of_range_is_not_written() {
        let mut app = app(&["nice", "system_prompt"]);
        assert_eq!(press(&mut app, "4e\x1520\n"), []);
        assert!(
            matches!(&app.mode, Mode::Edit { wrong: Some(why), .. } if why.contains("-20 to 19"))
        );
        assert_eq!(press(&mut app, "\x1519\n"), write("nice", "19"));
        // Others are for root.
        assert_eq!(press(&mut app, "je"), []);
        assert!(matches!(&app.message, Some(Err(why)) if why.contains("sudo")));
        assert_eq!(press(&mut app, "jjjjjje"), []);
        assert_eq!(
            press(&mut app, "Be brief.\n"),
            write("system_prompt", "Be brief.")
        );
    }

    #[test]
    fn a_recording_cannot_be_changed() {
        let mut app = app(&[]);
        app.access = Access::none("this is a recording");
        for keys in ["1c", "2e", "2n", "2r", "3d", "3l", "3u", "4e"] {
            assert_eq!(press(&mut app, keys), [], "{keys}");
            assert!(matches!(app.mode, Mode::Look), "{keys}");
            let message = app.message.take();
            assert_eq!(
                message,
                Some(Err("this is a recording".to_owned())),
                "{keys}"
            );
        }
    }

    #[test]
    fn keys_without_a_snapshot_do_no_harm() {
        let mut app = App::new(Look::PLAIN, Access::of_caller());
        for pane in '1'..='5' {
            for key in "?jkcdelnruyn\x1b\n\x1b".chars() {
                press(&mut app, &format!("{pane}{key}"));
            }
        }
        assert_eq!(press(&mut app, "\x1bq"), [Effect::Quit]);
    }

    #[test]
    fn a_line_that_is_gone_is_not_chosen() {
        let mut app = app(&[]);
        press(&mut app, "jjjj");
        assert_eq!(app.chosen(), 4);
        let mut snapshot = app.snapshot.clone().unwrap();
        snapshot.sessions.truncate(2);
        app.seen(snapshot);
        assert_eq!(app.chosen(), 1);
    }

    #[test]
    fn control_keys_end_and_suspend_wherever_one_is() {
        let mut app = app(&["load"]);
        for keys in ["", "?", "3l"] {
            press(&mut app, keys);
            for (key, effect) in [('c', Effect::Quit), ('z', Effect::Suspend)] {
                let key = KeyEvent::new(KeyCode::Char(key), KeyModifiers::CONTROL);
                assert_eq!(app.key(key), Some(effect), "{keys}");
            }
        }
    }
}
