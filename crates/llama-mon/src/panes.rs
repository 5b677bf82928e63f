// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What is told, as lines of text: for the screen, and for `--once`. Nothing is told by colour alone.

use llamux::{Limits, Owner, State};
use llamux_facts::text::shown;
use llamux_facts::{Finding, Severity};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use crate::figures;
use crate::rates::Rates;
use crate::snapshot::{Allowed, Snapshot, SETTINGS};

/// Sections that preemption is off in are to be shorter than so many microseconds.
const SECTION_US: u64 = 50;

/// What a terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// Whether it may have colours.
    pub(crate) colour: bool,
    /// Whether it has more characters than those of ASCII.
    pub(crate) unicode: bool,
}

impl Look {
    /// Of a log.
    pub(crate) const PLAIN: Self = Self {
        colour: false,
        unicode: false,
    };

    fn coloured(self, colour: Color, modifier: Modifier) -> Style {
        let style = Style::new().add_modifier(modifier);
        if self.colour {
            style.fg(colour)
        } else {
            style
        }
    }

    pub(crate) fn good(self) -> Style {
        self.coloured(Color::Green, Modifier::BOLD)
    }

    pub(crate) fn warning(self) -> Style {
        self.coloured(Color::Yellow, Modifier::BOLD)
    }

    pub(crate) fn bad(self) -> Style {
        self.coloured(Color::Red, Modifier::BOLD)
    }

    pub(crate) fn label(self) -> Style {
        self.coloured(Color::Cyan, Modifier::empty())
    }

    pub(crate) fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }
}

/// What is known of the machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Findings {
    /// Nothing yet.
    #[default]
    Looking,
    /// They are not looked for, and why.
    None(String),
    /// The worst one first.
    Found(Vec<Finding>),
}

/// All that is told.
pub(crate) struct Told<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) rates: &'a Rates,
    pub(crate) findings: &'a Findings,
    /// Tokens a second lately, the newest last.
    pub(crate) history: &'a [f64],
    pub(crate) look: Look,
}

/// A list whose lines can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pane {
    Sessions,
    Users,
    Models,
    Settings,
    Findings,
}

impl Pane {
    pub(crate) const ALL: [Self; 5] = [
        Self::Sessions,
        Self::Users,
        Self::Models,
        Self::Settings,
        Self::Findings,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Sessions => "Sessions",
            Self::Users => "Users",
            Self::Models => "Models",
            Self::Settings => "Settings",
            Self::Findings => "Findings",
        }
    }
}

/// A table: its head, and its lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) head: String,
    pub(crate) rows: Vec<String>,
    /// What is said if there are no lines.
    pub(crate) none: &'static str,
}

impl Told<'_> {
    /// The state in a word or two.
    pub(crate) fn state(&self) -> Span<'static> {
        let look = self.look;
        match self.snapshot.status.state() {
            State::Ready => Span::styled("ready", look.good()),
            State::Loading => Span::styled("loading", look.warning()),
            State::Unavailable => Span::styled("no model", look.bad()),
            _ => {
                let state = self.snapshot.status.get("state").unwrap_or("unknown");
                Span::styled(shown(state), look.warning())
            }
        }
    }

    /// The state of everything, a line each, the most important first.
    pub(crate) fn overview(&self) -> Vec<Line<'static>> {
        let mut lines = vec![
            self.line("Model", self.model()),
            self.line("Memory", self.memory()),
            self.line("Writing", self.writing()),
            self.line("Reading", self.reading()),
            self.line("Requests", self.requests()),
            self.line("Latency", self.latency()),
            self.line("Cache", self.cache()),
            self.line("FPU", self.fpu()),
            self.line("CPU", self.cpu()),
            self.line("Machine", self.machine()),
        ];
        if let Some(reason) = self.snapshot.status.reason() {
            lines.insert(
                1,
                self.line("Reason", vec![Span::styled(shown(reason), self.look.bad())]),
            );
        }
        lines
    }

    fn line(&self, label: &str, mut rest: Vec<Span<'static>>) -> Line<'static> {
        rest.insert(0, Span::styled(format!(" {label:8} "), self.look.label()));
        Line::from(rest)
    }

    fn text(&self, key: &str) -> Option<String> {
        self.snapshot.status.get(key).map(shown)
    }

    fn number(&self, key: &str) -> u64 {
        self.snapshot.status.number(key).unwrap_or(0)
    }

    fn model(&self) -> Vec<Span<'static>> {
        let Some(model) = self.text("model") else {
            let loading = self
                .snapshot
                .models
                .iter()
                .find(|model| model.state == "loading");
            let text = match (loading, self.snapshot.status.state()) {
                (Some(model), _) => format!("{} is {}", shown(&model.name), progress(model)),
                (None, State::Loading) => "it is being loaded".to_owned(),
                (None, _) => "none".to_owned(),
            };
            return vec![Span::raw(text)];
        };
        let mut parts = vec![Span::styled(
            model,
            Style::new().add_modifier(Modifier::BOLD),
        )];
        let parameters = self.snapshot.status.number("parameters");
        let details = [
            self.text("quantization"),
            parameters.map(figures::count),
            self.text("kernels"),
            Some(format!("{} threads", self.number("threads"))),
        ];
        for detail in details.into_iter().flatten() {
            parts.push(Span::raw(format!(", {detail}")));
        }
        parts
    }

    fn memory(&self) -> Vec<Span<'static>> {
        let memory = &self.snapshot.memory;
        let used: u64 = self.snapshot.models.iter().map(|model| model.bytes).sum();
        let mut text = format!("{} in models", figures::bytes(used));
        match (memory.get("source"), memory.number("reserved")) {
            (Some("reserved"), Some(reserved)) => {
                text += &format!(" of {} reserved", figures::bytes(reserved));
            }
            (Some(source), _) => text += &format!(" from {}", shown(source)),
            (None, _) => (),
        }
        if let Some(free) = memory.number("free") {
            text += &format!(", {} free", figures::bytes(free));
        }
        if let Some(context) = self.snapshot.status.context() {
            text += &format!("; context {context}");
        }
        vec![Span::raw(text)]
    }

    fn writing(&self) -> Vec<Span<'static>> {
        let average = self.number("decode_millitokens_per_second") as f64 / 1000.0;
        let now = format!("{:>6} tokens/s", figures::speed(self.rates.decode));
        let average = format!(", {} per caller on average", figures::speed(Some(average)));
        let mut parts = vec![
            Span::styled(now, Style::new().add_modifier(Modifier::BOLD)),
            Span::raw(average),
        ];
        if let Some(batch) = self.rates.batch {
            parts.push(Span::raw(format!(", {batch:.1} at once")));
        }
        if !self.history.is_empty() {
            parts.push(Span::raw(format!(
                "  {}",
                spark(self.history, self.look.unicode)
            )));
        }
        parts
    }

    fn reading(&self) -> Vec<Span<'static>> {
        let average = self.number("prefill_millitokens_per_second") as f64 / 1000.0;
        let text = format!(
            "{:>6} tokens/s, {} per caller on average",
            figures::speed(self.rates.prefill),
            figures::speed(Some(average))
        );
        vec![Span::raw(text)]
    }

    fn requests(&self) -> Vec<Span<'static>> {
        let stats = |key: &str| self.snapshot.stats.number(key).unwrap_or(0);
        let waiting = self.number("requests_waiting");
        let waits = if waiting > 0 {
            self.look.warning()
        } else {
            Style::new()
        };
        let mut parts = vec![
            Span::raw(format!("{} being answered", self.number("sessions_active"))),
            Span::raw(match self.snapshot.status.number("sessions_max") {
                Some(most) => format!(" of {most}, "),
                None => ", ".to_owned(),
            }),
            Span::styled(format!("{waiting} waiting"), waits),
            Span::raw(format!(
                "; {} done, {} given up, ",
                self.number("requests_served"),
                stats("requests_stopped")
            )),
        ];
        let failed = stats("requests_failed");
        let style = if failed > 0 {
            self.look.bad()
        } else {
            Style::new()
        };
        parts.push(Span::styled(format!("{failed} failed"), style));
        parts
    }

    fn latency(&self) -> Vec<Span<'static>> {
        let stats = &self.snapshot.stats;
        let half = |name: &str| {
            let histogram = stats.histogram(name, "ms").unwrap_or_default();
            let (p50, p90) = (histogram.quantile(500), histogram.quantile(900));
            format!("{}/{}", figures::under(p50), figures::under(p90))
        };
        let (p50, p90) = token_times(self.snapshot);
        let text = format!(
            "p50/p90 ms: queue {}, first token {}, a token {}/{}",
            half("queue"),
            half("first_token"),
            p50.map_or("-".to_owned(), |ms| format!("<={:.0}", ms.ceil())),
            p90.map_or("-".to_owned(), |ms| format!("<={:.0}", ms.ceil())),
        );
        vec![Span::raw(text)]
    }

    fn cache(&self) -> Vec<Span<'static>> {
        let (cached, all) = (self.number("cached_tokens"), self.number("prompt_tokens"));
        let text = match figures::percent(cached, all) {
            None => "no questions yet".to_owned(),
            Some(percent) => format!("{percent:.1} % of the {all} tokens of questions were there"),
        };
        vec![Span::raw(text)]
    }

    fn fpu(&self) -> Vec<Span<'static>> {
        let latency = &self.snapshot.latency;
        let Some(histogram) = latency.histogram("", "us").filter(|all| all.count() > 0) else {
            return vec![Span::raw("no sections yet")];
        };
        let least = figures::percent(histogram.below(SECTION_US), histogram.count());
        let mut text = format!(
            "at least {:.1} % of sections under {SECTION_US} us",
            least.unwrap_or(0.0)
        );
        if let Some(longest) = latency.number("longest_ns") {
            let operation = latency.get("longest_operation").map(shown);
            text += &format!(
                ", longest {} ({})",
                figures::duration_ns(longest),
                operation.as_deref().unwrap_or("unknown")
            );
        }
        vec![Span::raw(text)]
    }

    fn cpu(&self) -> Vec<Span<'static>> {
        let percent = |part: Option<f64>| match part {
            None => "-".to_owned(),
            Some(part) => format!("{part:.0}"),
        };
        let processors = self.snapshot.cpu.processors;
        let text = format!(
            "{:>3} % of {processors} processors in use, {} % by the kernel for the model",
            percent(self.rates.busy),
            percent(self.rates.llamux)
        );
        vec![Span::raw(text)]
    }

    fn machine(&self) -> Vec<Span<'static>> {
        match self.findings {
            Findings::Looking => vec![Span::raw("being looked at")],
            Findings::None(why) => vec![Span::raw(why.clone())],
            Findings::Found(all) => match all.first() {
                None => vec![Span::raw("nothing is wrong with it")],
                Some(worst) => {
                    let more = match all.len() - 1 {
                        0 => String::new(),
                        n => format!(" (and {n} more)"),
                    };
                    vec![
                        Span::styled(word(worst.severity), self.severity(worst.severity)),
                        Span::raw(format!(": {}{more}", shown(&worst.title))),
                    ]
                }
            },
        }
    }

    fn severity(&self, severity: Severity) -> Style {
        match severity {
            Severity::Info | Severity::Notice => Style::new(),
            Severity::Warning => self.look.warning(),
            Severity::Critical => self.look.bad(),
        }
    }

    /// The lines of a list, but of the findings.
    pub(crate) fn table(&self, pane: Pane) -> Table {
        match pane {
            Pane::Sessions => self.sessions(),
            Pane::Users => self.users(),
            Pane::Models => self.models(),
            Pane::Settings => self.settings(),
            Pane::Findings => Table::default(),
        }
    }

    fn sessions(&self) -> Table {
        let row = |session: &llamux::OpenSession| {
            format!(
                "{:>6} {:10} {:>7} {:12} {:9} {:>6} {:>9} {}",
                session.number,
                cut(&shown(&self.snapshot.user(session.user)), 10),
                session.pid,
                cut(&shown(&session.comm), 12),
                cut(&shown(&session.state), 9),
                session.tokens,
                figures::seconds(session.idle),
                shown(session.model.as_deref().unwrap_or("-")),
            )
        };
        Table {
            head: format!(
                "{:>6} {:10} {:>7} {:12} {:9} {:>6} {:>9} MODEL",
                "NUMBER", "USER", "PID", "PROGRAM", "STATE", "TOKENS", "IDLE"
            ),
            rows: self.snapshot.sessions.iter().map(row).collect(),
            none: "no conversation is open, or none that you may see",
        }
    }

    /// The users that there are lines for, the busiest first, and those with limits of their own.
    pub(crate) fn owners(&self) -> Vec<Option<Owner>> {
        let mut users: Vec<_> = self.snapshot.users.iter().collect();
        let busy = |usage: &llamux::Usage| (usage.active + usage.queued, usage.time_ns);
        users.sort_by_key(|usage| std::cmp::Reverse(busy(usage)));
        let mut owners: Vec<_> = users.into_iter().map(|usage| Some(usage.owner)).collect();
        for limits in &self.snapshot.limits {
            let owner = limits.user.map(Owner::User);
            if !owners.contains(&owner) {
                owners.push(owner);
            }
        }
        owners
    }

    /// The limits of a user, or the default ones.
    pub(crate) fn limits(&self, owner: Option<Owner>) -> Option<Limits> {
        let limits = &self.snapshot.limits;
        let own = limits.iter().find(|one| one.user.map(Owner::User) == owner);
        own.or_else(|| limits.iter().find(|one| one.user.is_none()))
            .copied()
    }

    fn users(&self) -> Table {
        let all: u64 = self.snapshot.users.iter().map(|usage| usage.time_ns).sum();
        let row = |owner: &Option<Owner>| {
            let usage = self
                .snapshot
                .users
                .iter()
                .find(|usage| Some(usage.owner) == *owner);
            let limits = self.limits(*owner).unwrap_or_default();
            let own = owner.is_some() && limits.user.map(Owner::User) == *owner;
            let name = owner.map_or("default".to_owned(), |owner| self.snapshot.owner(owner));
            let name = format!("{}{}", cut(&shown(&name), 9), if own { "*" } else { "" });
            let columns = match usage {
                None => " ".repeat(38),
                Some(usage) => {
                    let speed = self.rates.users.get(&usage.owner).copied();
                    let share = figures::percent(usage.time_ns, all);
                    format!(
                        "{:>4} {:>4} {:>3} {:>5} {:>6} {:>6} {:>4}",
                        usage.sessions,
                        usage.queued,
                        usage.active,
                        usage.requests,
                        figures::count(usage.tokens),
                        figures::speed(speed),
                        share.map_or("-".to_owned(), |share| format!("{share:.0}%")),
                    )
                }
            };
            let most = |limit: u64| match limit {
                0 => "-".to_owned(),
                limit => limit.to_string(),
            };
            format!(
                "{name:10} {columns} | {:>4} {:>4} {:>7} {:>7}",
                most(limits.sessions),
                most(limits.queued),
                most(limits.tokens_per_minute),
                most(limits.context)
            )
        };
        Table {
            head: format!(
                "{:10} OPEN WAIT NOW  DONE TOKENS  TOK/S TIME | OPEN WAIT TOK/MIN CONTEXT",
                "USER"
            ),
            rows: self.owners().iter().map(row).collect(),
            none: "nobody has asked yet",
        }
    }

    fn models(&self) -> Table {
        let row = |model: &llamux::ListedModel| {
            let state = match model.state.as_str() {
                "loading" => progress(model),
                state => shown(state),
            };
            let default = if model.default { "default" } else { "" };
            let reason = model.reason.as_deref().map(shown).unwrap_or_default();
            format!(
                "{:26} {:13} {:7} {:>9} {reason}",
                cut(&shown(&model.name), 26),
                cut(&state, 13),
                default,
                figures::bytes(model.bytes)
            )
        };
        Table {
            head: format!(
                "{:26} {:13} {:7} {:>9} REASON",
                "MODEL", "STATE", "", "MEMORY"
            ),
            rows: self.snapshot.models.iter().map(row).collect(),
            none: "there is no model",
        }
    }

    fn settings(&self) -> Table {
        let row = |((file, what, allowed), value): ((&str, &str, Allowed), &Option<String>)| {
            let value = match value {
                None => "-".to_owned(),
                Some(text) if text.is_empty() => "(empty)".to_owned(),
                Some(text) => shown(text),
            };
            let allowed = match allowed {
                Allowed::Number(least, most) => format!("{least} to {most}"),
                Allowed::Text(_) => String::new(),
            };
            let name = file.rsplit('/').next().unwrap_or(file);
            format!("{name:20} {:>8} {allowed:>11}  {what}", cut(&value, 30))
        };
        Table {
            head: format!("{:20} {:>8} {:>11}", "SETTING", "VALUE", "MAY BE"),
            rows: SETTINGS
                .into_iter()
                .zip(&self.snapshot.settings)
                .map(row)
                .collect(),
            none: "",
        }
    }

    /// The findings, each as its lines: the title, and with `details` all that it says.
    pub(crate) fn findings(
        &self,
        width: usize,
        details: impl Fn(usize) -> bool,
    ) -> Vec<Vec<Line<'static>>> {
        let all = match self.findings {
            Findings::Found(all) => all,
            _ => return vec![vec![Line::from(self.machine())]],
        };
        if all.is_empty() {
            return vec![vec![Line::from(self.machine())]];
        }
        let one = |(index, finding): (usize, &Finding)| {
            let head = format!("[{}] {}", word(finding.severity), shown(&finding.title));
            let style = self.severity(finding.severity);
            let wrapped = wrap(&head, width);
            let mut lines: Vec<_> = wrapped
                .into_iter()
                .map(|line| Line::styled(line, style))
                .collect();
            if details(index) {
                for line in wrap(&shown(&finding.explanation), width.saturating_sub(2)) {
                    lines.push(Line::from(format!("  {line}")));
                }
                for evidence in &finding.evidence {
                    let text = format!("- {}: {}", shown(&evidence.what), evidence.value);
                    for line in wrap(&text, width.saturating_sub(2)) {
                        lines.push(Line::from(format!("  {line}")));
                    }
                }
            }
            lines
        };
        all.iter().enumerate().map(one).collect()
    }

    /// Everything as plain text, for a log.
    pub(crate) fn plain(&self, recorded: &str) -> String {
        let mut text = format!(
            "llama-mon: Linux {}, up {}, {}{recorded}\n",
            shown(&self.snapshot.release),
            figures::seconds(self.snapshot.uptime / 100),
            self.state().content
        );
        let mut push = |line: &str| {
            text += line.trim_end();
            text.push('\n');
        };
        for line in self.overview() {
            push(&line.to_string());
        }
        for pane in [Pane::Sessions, Pane::Users, Pane::Models, Pane::Settings] {
            let table = self.table(pane);
            push(&format!("\n{}", pane.title()));
            if table.rows.is_empty() {
                push(&format!(" {}", table.none));
            } else {
                push(&format!(" {}", table.head));
            }
            for row in &table.rows {
                push(&format!(" {row}"));
            }
        }
        push("\nFindings");
        for line in self.findings(100, |_| true).into_iter().flatten() {
            push(&format!(" {line}"));
        }
        text
    }
}

/// What a token took at most, in milliseconds, in half of the answers and in nine of ten: their speeds, turned round.
/// `None` if there was no answer, or nothing can be said.
pub(crate) fn token_times(snapshot: &Snapshot) -> (Option<f64>, Option<f64>) {
    let speeds = snapshot
        .stats
        .histogram("tokens_per_second", "")
        .unwrap_or_default();
    let at = |thousandths| {
        let slowest = speeds.quantile(thousandths)?.from;
        (slowest > 0).then(|| 1000.0 / slowest as f64)
    };
    (at(500), at(100))
}

/// The limits as they are written to the kernel.
pub(crate) fn limit_words(limits: &Limits) -> String {
    let values = [
        limits.sessions,
        limits.queued,
        limits.tokens_per_minute,
        limits.context,
    ];
    let words = Limits::NAMES.iter().zip(values);
    let words: Vec<_> = words
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    words.join(" ")
}

/// How far loading has come.
fn progress(model: &llamux::ListedModel) -> String {
    match figures::percent(model.read, model.of) {
        Some(percent) => format!("loading {percent:.0} %"),
        None => "loading".to_owned(),
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Notice => "notice",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

/// At most so many characters.
pub(crate) fn cut(text: &str, characters: usize) -> String {
    match text.chars().count() > characters {
        true => text
            .chars()
            .take(characters.saturating_sub(1))
            .chain(['~'])
            .collect(),
        false => text.to_owned(),
    }
}

/// Lines of at most so many columns, broken at blanks where there are any.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(8);
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let mut word = word;
        while let Some(line) = lines.last_mut() {
            let used = Span::raw(line.as_str()).width();
            let gap = usize::from(used > 0);
            if used + gap + Span::raw(word).width() <= width {
                if gap > 0 {
                    line.push(' ');
                }
                line.push_str(word);
                break;
            }
            if used > 0 {
                lines.push(String::new());
                continue;
            }
            // A word that is longer than a line.
            let mut end = 0;
            for (at, character) in word.char_indices() {
                let next = at + character.len_utf8();
                if Span::raw(word.get(..next).unwrap_or_default()).width() > width {
                    break;
                }
                end = next;
            }
            let (head, tail) =
                word.split_at(end.max(word.chars().next().map_or(0, char::len_utf8)));
            line.push_str(head);
            if tail.is_empty() {
                break;
            }
            word = tail;
            lines.push(String::new());
        }
    }
    lines
}

/// A line that shows how values went, the largest at full height.
fn spark(values: &[f64], unicode: bool) -> String {
    let levels: &[char] = if unicode {
        &['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
    } else {
        &['_', '.', '-', '=', '*', '#']
    };
    let most = values.iter().copied().fold(0.0, f64::max);
    let level = |&value: &f64| {
        let part = if most > 0.0 { value / most } else { 0.0 };
        // CAST: From 0 to the number of levels; what is out of range is the nearest.
        let index = (part * (levels.len() - 1) as f64).round() as usize;
        levels.get(index).copied().unwrap_or(' ')
    };
    values.iter().map(level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn everything_is_in_the_plain_text() {
        let (before, after) = testing::recorded();
        let rates = Rates::between(&before, &after);
        let findings = Findings::Found(Vec::new());
        let told = Told {
            snapshot: &after,
            rates: &rates,
            findings: &findings,
            history: &[],
            look: Look::PLAIN,
        };
        let text = told.plain("");
        testing::same_as("once.txt", &text);
        assert!(text.is_ascii() && !text.contains('\x1b'), "{text}");
    }

    #[test]
    fn without_a_model_it_says_why() {
        let (_, mut snapshot) = testing::recorded();
        snapshot.status = llamux::Status::parse(
            "state: unavailable\nreason: /lib/firmware/llamux/a.gguf: not a GGUF file\n",
        );
        snapshot.models.clear();
        snapshot.latency = llamux::Status::default();
        snapshot.stats = llamux::Status::default();
        let told = Told {
            snapshot: &snapshot,
            rates: &Rates::default(),
            findings: &Findings::Looking,
            history: &[],
            look: Look::PLAIN,
        };
        let text = told.plain("");
        for part in [
            "no model",
            " Reason   /lib/firmware/llamux/a.gguf: not a GGUF file",
            "no sections yet",
            "no questions yet",
            "there is no model",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }

    #[test]
    fn texts_of_others_drive_no_terminal() {
        let (_, mut snapshot) = testing::recorded();
        snapshot.sessions[0].comm = "\x1b[2J\n".to_owned();
        snapshot.models[0].reason = Some("\x1b]0;x\x07".to_owned());
        snapshot.settings[7] = Some("\x1b[31m\u{202e}".to_owned());
        let told = Told {
            snapshot: &snapshot,
            rates: &Rates::default(),
            findings: &Findings::Looking,
            history: &[],
            look: Look::PLAIN,
        };
        let text = told.plain("");
        let unsafe_one = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(unsafe_one), "{text:?}");
    }

    #[test]
    fn lines_break_at_blanks_and_long_words_anywhere() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("abcdefghijkl", 8), ["abcdefgh", "ijkl"]);
        assert_eq!(wrap("漢漢漢漢漢", 8), ["漢漢漢漢", "漢"]);
        assert_eq!(wrap("", 8), [""]);
        assert_eq!(wrap("a b", 0), ["a b"]);
    }

    #[test]
    fn time_of_a_token_is_never_less_than_what_was_measured() {
        let mut snapshot = Snapshot {
            stats: llamux::Status::parse(
                "tokens_per_second_below_64: 8\ntokens_per_second_below_32: 1\n\
                 tokens_per_second_below_16: 1\ntokens_per_second_above: 0\n",
            ),
            ..Snapshot::default()
        };
        // Half of the answers were written at 32 tokens a second or more; and nine of ten at 0 or more.
        assert_eq!(token_times(&snapshot), (Some(31.25), None));
        snapshot.stats = llamux::Status::default();
        assert_eq!(token_times(&snapshot), (None, None));
    }

    #[test]
    fn spark_has_the_largest_at_full_height() {
        assert_eq!(spark(&[0.0, 5.0, 10.0], true), "▁▅█");
        assert_eq!(spark(&[0.0, 10.0], false), "_#");
        assert_eq!(spark(&[0.0, 0.0], false), "__");
        assert_eq!(spark(&[], true), "");
    }
}
