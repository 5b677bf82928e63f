// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Draws the screen, of whatever size it is.

use llamux_facts::text::shown;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};
use ratatui::Frame;

use crate::app::{App, Mode};
use crate::figures;
use crate::panes::{wrap, Pane, Told};
use crate::snapshot::SETTINGS;

/// From this width on the findings have a column of their own.
const WIDE: u16 = 120;

/// From this height on all lists are shown.
const HIGH: u16 = 36;

/// What the keys do: the list that they are for, and what is told of them.
const KEYS: &[(&str, &str)] = &[
    ("Tab, arrows, 1-5", "another list, another line"),
    ("Sessions: c", "end the answer of a session"),
    (
        "Users: e",
        "change limits; who has a * has limits of their own",
    ),
    (
        "Users: n, r",
        "limits of another user; the default ones again",
    ),
    ("Models: d", "have a model answer those who name none"),
    ("Models: l, u", "load a model, unload one"),
    ("Settings: e", "change a value"),
    ("Ctrl-Z", "suspend; fg comes back"),
    ("?", "this help"),
    ("q, Ctrl-C", "quit"),
];

/// Draws everything.
pub(crate) fn draw(frame: &mut Frame<'_>, app: &App) {
    let area = frame.area();
    if area.width == 0 || area.height == 0 {
        return;
    }
    let history: Vec<f64> = app.history.iter().copied().collect();
    let Some(snapshot) = &app.snapshot else {
        frame.render_widget(Paragraph::new(" llama-mon: looking at the kernel"), area);
        return;
    };
    let [head, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(area);
    let wide = area.width >= WIDE && area.height >= 20;
    let (left, right) = if wide {
        let [left, gap, right] = Layout::horizontal([
            Constraint::Min(80),
            Constraint::Length(1),
            Constraint::Percentage(35),
        ])
        .areas(body);
        let bar = if app.look.unicode { "│" } else { "|" };
        let lines: Vec<_> = (0..gap.height).map(|_| Line::from(bar)).collect();
        frame.render_widget(Paragraph::new(lines), gap);
        (left, Some(right))
    } else {
        (body, None)
    };
    // As much of the past as there is room for behind the figures.
    let room = usize::from(left.width.saturating_sub(70)).min(history.len());
    let history = history.get(history.len() - room..).unwrap_or_default();
    let told = app.told(snapshot, history);
    title(frame, head, &told);
    let overview = told.overview();
    // A list of three lines is of more use than the last lines of the overview.
    let rows = u16::try_from(overview.len()).unwrap_or(u16::MAX);
    let rows = rows.min(left.height.saturating_sub(4).max(left.height.div_ceil(2)));
    let [top, rest] = Layout::vertical([Constraint::Length(rows), Constraint::Min(0)]).areas(left);
    frame.render_widget(Paragraph::new(overview), top);
    lists(frame, rest, app, &told, right.is_some());
    if let Some(right) = right {
        heading(frame, right, app, Pane::Findings);
        findings(frame, below(right), app, &told, true);
    }
    match &app.mode {
        Mode::Help => help(frame, body, app),
        Mode::Edit { title, wrong, .. } => {
            let lines = [Some(title.as_str()), wrong.as_deref()];
            let lines: Vec<_> = lines
                .into_iter()
                .zip(["", "not yet: "])
                .filter_map(|(line, before)| Some(Line::from(format!(" {before}{}", line?))))
                .collect();
            let height = u16::try_from(lines.len()).unwrap_or(1);
            boxed(frame, bottom(body, height), app, lines);
        }
        Mode::Confirm { question, .. } => {
            let line = Line::from(format!(" {question}"));
            boxed(frame, bottom(body, 1), app, vec![line]);
        }
        Mode::Look => (),
    }
    footer(frame, foot, app);
}

fn title(frame: &mut Frame<'_>, area: Rect, told: &Told<'_>) {
    let snapshot = told.snapshot;
    let mut state = told.state();
    let style = Style::new().add_modifier(Modifier::REVERSED);
    state.style = style.add_modifier(Modifier::BOLD);
    let right = format!(
        "Linux {}  up {} ",
        shown(&snapshot.release),
        figures::seconds(snapshot.uptime / 100)
    );
    let left = Span::styled(" llama-mon  ", style);
    let used = left.width() + state.width() + Span::raw(&right).width();
    let gap = usize::from(area.width).saturating_sub(used);
    let fill = if gap == 0 {
        String::new()
    } else {
        format!("{}{right}", " ".repeat(gap))
    };
    let line = Line::from(vec![left, state, Span::styled(fill, style)]).style(style);
    frame.render_widget(Paragraph::new(line).style(style), area);
}

/// All lists below each other, or one with the names of the others.
fn lists(frame: &mut Frame<'_>, area: Rect, app: &App, told: &Told<'_>, findings_apart: bool) {
    if area.height >= HIGH - 12 {
        let models = told.snapshot.models.len().clamp(1, 8);
        let users = told.owners().len().clamp(1, 10);
        let height = |rows: usize| Constraint::Length(u16::try_from(rows + 3).unwrap_or(10));
        let mut shares = vec![
            Constraint::Min(5),
            height(users),
            height(models),
            height(SETTINGS.len()),
        ];
        let mut panes = vec![Pane::Sessions, Pane::Users, Pane::Models, Pane::Settings];
        if !findings_apart {
            shares.push(Constraint::Min(5));
            panes.push(Pane::Findings);
        }
        let areas = Layout::vertical(shares).split(area);
        for (&pane, &area) in panes.iter().zip(areas.iter()) {
            heading(frame, area, app, pane);
            list(frame, below(area), app, told, pane);
        }
        return;
    }
    let shown = match (app.pane, findings_apart) {
        (Pane::Findings, true) => Pane::Sessions,
        (pane, _) => pane,
    };
    let mut names = vec![Span::raw(" ")];
    for (index, pane) in Pane::ALL.into_iter().enumerate() {
        let number = index + 1;
        if pane == app.pane {
            let style = Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED);
            names.push(Span::styled(format!("[{number} {}]", pane.title()), style));
        } else {
            names.push(Span::raw(format!(" {number} {} ", pane.title())));
        }
    }
    frame.render_widget(Paragraph::new(Line::from(names)), first(area));
    list(frame, below(area), app, told, shown);
}

/// The name of a list, with a mark if the keys are for it.
fn heading(frame: &mut Frame<'_>, area: Rect, app: &App, pane: Pane) {
    let line = if app.look.unicode { "─" } else { "-" };
    let number = Pane::ALL.iter().position(|&one| one == pane).unwrap_or(0) + 1;
    let (text, style) = if pane == app.pane {
        let style = Style::new().add_modifier(Modifier::BOLD);
        (format!("{line}[{number} {}]", pane.title()), style)
    } else {
        (format!("{line} {number} {} ", pane.title()), Style::new())
    };
    let rest = usize::from(area.width).saturating_sub(Span::raw(&text).width());
    let line = Line::from(vec![
        Span::styled(text, style),
        Span::raw(line.repeat(rest)),
    ]);
    frame.render_widget(Paragraph::new(line), first(area));
}

fn list(frame: &mut Frame<'_>, area: Rect, app: &App, told: &Told<'_>, pane: Pane) {
    if pane == Pane::Findings {
        return findings(frame, area, app, told, false);
    }
    let table = told.table(pane);
    if table.rows.is_empty() {
        frame.render_widget(Paragraph::new(format!("  {}", table.none)), area);
        return;
    }
    let head = Line::styled(format!("  {}", table.head), app.look.faint());
    frame.render_widget(Paragraph::new(head), first(area));
    let area = below(area);
    let active = app.pane == pane;
    let chosen = if active { app.chosen() } else { 0 };
    let height = usize::from(area.height);
    let offset = scrolled(chosen, table.rows.len(), height);
    // What is cut off of the chosen one is below the last one, if there is room.
    let width = usize::from(area.width).saturating_sub(4);
    let spare = height.saturating_sub(table.rows.len());
    let too_long = |row: &&String| active && Span::raw(row.trim_end()).width() > width + 2;
    let whole = table.rows.get(chosen).filter(too_long);
    let whole = whole.map_or(Vec::new(), |row| wrap(row.trim_start(), width));
    let whole = if whole.len() < spare {
        whole
    } else {
        Vec::new()
    };
    let rows = table.rows.into_iter().enumerate().skip(offset).take(height);
    let line = |(index, row): (usize, String)| {
        if active && index == chosen {
            let mut row = format!("> {row}");
            let width = Span::raw(row.as_str()).width();
            row += &" ".repeat(usize::from(area.width).saturating_sub(width));
            Line::styled(row, Style::new().add_modifier(Modifier::REVERSED))
        } else {
            Line::from(format!("  {row}"))
        }
    };
    let mut lines: Vec<_> = rows.map(line).collect();
    if !whole.is_empty() {
        lines.push(Line::default());
        lines.extend(
            whole
                .into_iter()
                .map(|row| Line::styled(format!("    {row}"), app.look.faint())),
        );
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// The findings: all of what is said where there is room, or of the chosen one.
fn findings(frame: &mut Frame<'_>, area: Rect, app: &App, told: &Told<'_>, all: bool) {
    let chosen = if app.pane == Pane::Findings {
        app.chosen()
    } else {
        0
    };
    let active = app.pane == Pane::Findings;
    let width = usize::from(area.width).saturating_sub(2);
    let blocks = told.findings(width, |index| all || index == chosen);
    let height = usize::from(area.height);
    let lengths: Vec<usize> = blocks.iter().map(Vec::len).collect();
    let before: usize = lengths.iter().take(chosen).sum();
    let length = lengths.get(chosen).copied().unwrap_or(0);
    let total: usize = lengths.iter().sum();
    // The beginning of the chosen one is seen, and its end if there is room.
    let offset = if before + length <= height {
        0
    } else {
        before.min(total.saturating_sub(height))
    };
    let mut lines = Vec::new();
    for (index, block) in blocks.into_iter().enumerate() {
        for (at, mut line) in block.into_iter().enumerate() {
            let mark = if active && index == chosen && at == 0 {
                "> "
            } else {
                "  "
            };
            line.spans.insert(0, Span::raw(mark));
            lines.push(line);
        }
    }
    let lines: Vec<_> = lines.into_iter().skip(offset).take(height).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

fn help(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let width = KEYS.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    let line = |&(key, what): &(&str, &str)| Line::from(format!(" {key:width$}  {what}"));
    let mut lines: Vec<_> = KEYS.iter().map(line).collect();
    if let Some(why) = app.access.refusal("limits") {
        lines.push(Line::from(format!(
            " Keys that change something do not: {why}"
        )));
    }
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    boxed(frame, bottom(area, height), app, lines);
}

/// The last lines of an area, with one more for a border.
fn bottom(area: Rect, height: u16) -> Rect {
    let height = height.saturating_add(1).min(area.height);
    Rect {
        y: area.y + (area.height - height),
        height,
        ..area
    }
}

/// Lines over whatever is there, below a line.
fn boxed(frame: &mut Frame<'_>, area: Rect, app: &App, lines: Vec<Line<'_>>) {
    frame.render_widget(Clear, area);
    let line = if app.look.unicode { "─" } else { "-" };
    let border = line.repeat(usize::from(area.width));
    frame.render_widget(Paragraph::new(border), first(area));
    frame.render_widget(Paragraph::new(lines), below(area));
}

/// The line at the bottom: what is edited or asked, what was done last, or the keys.
fn footer(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let look = app.look;
    let line = match (&app.mode, &app.message) {
        (Mode::Edit { input, .. }, _) => {
            let width = usize::from(area.width).saturating_sub(4);
            let scroll = input.visual_scroll(width);
            let before = Span::raw(" > ");
            let column = input.visual_cursor().saturating_sub(scroll) + before.width();
            let x = u16::try_from(column).unwrap_or(u16::MAX);
            let x = area.x.saturating_add(x).min(area.right().saturating_sub(1));
            frame.set_cursor_position((x, area.y));
            let text: String = visible(input.value(), scroll);
            Line::from(vec![before, Span::raw(shown(&text))])
        }
        (Mode::Confirm { .. }, _) => Line::from(" y: yes   n: no"),
        (Mode::Help, _) => Line::from(" any key: back"),
        (Mode::Look, Some(Ok(text))) => {
            Line::styled(format!(" Done: {}", shown(text)), look.good())
        }
        (Mode::Look, Some(Err(text))) => {
            Line::styled(format!(" Not done: {}", shown(text)), look.bad())
        }
        (Mode::Look, None) => {
            let mut parts = vec![Span::raw(" ? help  q quit  Tab list ")];
            parts.extend(keys(app));
            Line::from(parts)
        }
    };
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(line), area);
}

/// The keys of the list, those that the caller may not use in parentheses.
fn keys(app: &App) -> Vec<Span<'static>> {
    let access = &app.access;
    let cancel = access.nothing.is_none();
    let may = |file: &str| access.refusal(file).is_none();
    let setting = SETTINGS.get(app.chosen()).map_or("", |(file, _, _)| *file);
    let keys: &[(&str, bool)] = match app.pane {
        Pane::Sessions => &[("c cancel", cancel)],
        Pane::Users => {
            let limits = may("limits");
            &[
                ("e limits", limits),
                ("n new", limits),
                ("r default", limits),
            ]
        }
        Pane::Models => &[
            ("d default", may("default")),
            ("l load", may("load")),
            ("u unload", may("unload")),
        ],
        Pane::Settings => &[("e edit", may(setting))],
        Pane::Findings => &[],
    };
    let span = |&(key, may): &(&'static str, bool)| match may {
        true => Span::raw(format!(" {key} ")),
        false => Span::styled(format!(" ({key}) "), app.look.faint()),
    };
    keys.iter().map(span).collect()
}

/// What is behind so many columns.
fn visible(text: &str, scroll: usize) -> String {
    let mut column = 0;
    let behind = |character: &char| {
        let here = column;
        column += Span::raw(character.to_string()).width();
        here >= scroll
    };
    text.chars().filter(behind).collect()
}

/// How many lines are above those that are seen, so that the chosen one is seen.
fn scrolled(chosen: usize, rows: usize, height: usize) -> usize {
    let most = rows.saturating_sub(height);
    (chosen + 1).saturating_sub(height).min(most)
}

fn first(area: Rect) -> Rect {
    Rect {
        height: area.height.min(1),
        ..area
    }
}

fn below(area: Rect) -> Rect {
    let one = area.height.min(1);
    Rect {
        y: area.y + one,
        height: area.height - one,
        ..area
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::Access;
    use crate::panes::{Findings, Look};
    use crate::testing;
    use llamux_facts::{Cause, Evidence, Finding, Quantity, Severity};
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::{KeyCode, KeyEvent};
    use ratatui::Terminal;

    fn finding() -> Finding {
        Finding {
            id: "memory-full".to_owned(),
            cause: Cause::MemoryFull,
            severity: Severity::Warning,
            title: "Nearly no memory is left".to_owned(),
            explanation: "What programs ask for next has to be taken from others, and if nothing \
                          can be, the kernel ends one of them."
                .to_owned(),
            evidence: vec![Evidence {
                what: "memory available".to_owned(),
                value: Quantity::Bytes(240 << 20),
            }],
            subjects: Vec::new(),
            remedies: Vec::new(),
            follows_from: None,
        }
    }

    fn app() -> App {
        let look = Look {
            colour: false,
            unicode: true,
        };
        let mut app = App::new(look, Access::none("this is a recording"));
        let (before, after) = testing::recorded();
        app.seen(before);
        app.seen(after);
        let mut second = finding();
        second.title = "The disk of /var is 96 % full".to_owned();
        app.findings = Findings::Found(vec![finding(), second]);
        app
    }

    fn drawn(app: &App, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, app)).unwrap();
        let buffer = terminal.backend().buffer();
        let row = |y| {
            let cell = |x| buffer.cell((x, y)).map_or("", |cell| cell.symbol());
            let row: String = (0..width).map(cell).collect();
            format!("{}\n", row.trim_end())
        };
        (0..height).map(row).collect()
    }

    fn press(app: &mut App, keys: &str) {
        for key in keys.chars() {
            app.key(KeyEvent::from(KeyCode::Char(key)));
        }
    }

    #[test]
    fn screens_look_right() {
        for (name, width, height, keys) in [
            ("80x24-sessions.txt", 80, 24, "1"),
            ("80x24-users.txt", 80, 24, "2"),
            ("80x24-models.txt", 80, 24, "3"),
            ("80x24-settings.txt", 80, 24, "4"),
            ("80x24-findings.txt", 80, 24, "5"),
            ("80x24-help.txt", 80, 24, "?"),
            ("200x60.txt", 200, 60, "2j"),
            ("40x10.txt", 40, 10, "1"),
        ] {
            let mut app = app();
            press(&mut app, keys);
            testing::same_as(name, &drawn(&app, width, height));
        }
    }

    #[test]
    fn an_edited_line_says_what_is_wrong_with_it() {
        let mut app = app();
        app.access = Access {
            nothing: None,
            files: vec!["nice".to_owned()],
        };
        press(&mut app, "4e9");
        let mut screen = drawn(&app, 80, 24);
        assert!(screen.ends_with("\n > 09\n"), "{screen}");
        press(&mut app, "9");
        screen = drawn(&app, 80, 24);
        assert!(
            screen.contains(" not yet: a whole number from -20 to 19"),
            "{screen}"
        );
        assert!(
            screen.contains(" nice: of the threads that compute"),
            "{screen}"
        );
    }

    #[test]
    fn any_size_can_be_drawn() {
        for mode in ["1", "2", "3", "4", "5", "?", "4e", "1c", "3l"] {
            let mut app = app();
            app.access = Access {
                nothing: None,
                files: ["load", "nice"].map(str::to_owned).to_vec(),
            };
            press(&mut app, mode);
            for width in [1, 2, 3, 7, 20, 40, 79, 119, 120, 300] {
                for height in [1, 2, 3, 4, 5, 10, 20, 36, 100] {
                    drawn(&app, width, height);
                }
            }
        }
        drawn(&App::new(Look::PLAIN, Access::none("x")), 10, 2);
    }

    #[test]
    fn keys_that_one_may_not_use_are_in_parentheses() {
        let mut app = app();
        assert!(drawn(&app, 80, 24).ends_with(" (c cancel)\n"));
        app.access = Access::default();
        assert!(drawn(&app, 80, 24).ends_with("  c cancel\n"));
        press(&mut app, "3");
        assert!(drawn(&app, 80, 24).ends_with("  (d default)  (l load)  (u unload)\n"));
    }

    #[test]
    fn the_chosen_line_is_seen() {
        assert_eq!(scrolled(0, 100, 10), 0);
        assert_eq!(scrolled(9, 100, 10), 0);
        assert_eq!(scrolled(10, 100, 10), 1);
        assert_eq!(scrolled(99, 100, 10), 90);
        assert_eq!(scrolled(5, 3, 10), 0);
        assert_eq!(scrolled(2, 3, 0), 3);
    }
}
