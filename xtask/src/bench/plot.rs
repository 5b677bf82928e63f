// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The speeds as pictures: one for each model and kind of row, bars with their spread.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, Result};
use plotters::prelude::*;

use super::report::{Report, Row};
use super::what::Contestant;

const COLOURS: [RGBColor; 3] = [
    RGBColor(136, 136, 136),
    RGBColor(31, 119, 180),
    RGBColor(214, 110, 30),
];

/// Draws all speeds into files of that directory, and returns these.
pub(super) fn draw(report: &Report, dir: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(dir)?;
    let mut pictures: Vec<(String, Vec<&Row>)> = Vec::new();
    for row in report.rows.iter().filter(|row| row.unit == "tokens/s") {
        let kind = ["prefill", "decode"]
            .into_iter()
            .find(|kind| row.what.starts_with(kind));
        let name = format!("{}-{}", row.model, kind.unwrap_or("sessions"));
        match pictures.iter_mut().find(|(of, _)| *of == name) {
            Some((_, rows)) => rows.push(row),
            None => pictures.push((name, vec![row])),
        }
    }
    let mut files = Vec::new();
    for (name, rows) in pictures {
        let file = dir.join(format!("{name}.svg"));
        picture(&rows, &name, &file)
            .map_err(|error| anyhow!("cannot draw {}: {error}", file.display()))?;
        files.push(file);
    }
    Ok(files)
}

fn picture(rows: &[&Row], title: &str, file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let most = rows
        .iter()
        .flat_map(|row| Contestant::ALL.map(|of| row.of(of).map_or(0.0, |figure| figure.most)))
        .fold(1.0, f64::max);
    let count = rows.len() as f64;
    // CAST: A few rows.
    let width = 160 + 150 * rows.len() as u32;
    let root = SVGBackend::new(file, (width.max(480), 400)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(format!("{title}, tokens/s"), ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(32)
        .y_label_area_size(56)
        // Room for the legend above the bars.
        .build_cartesian_2d(-0.5..count - 0.5, 0.0..most * 1.25)?;
    let label = |x: &f64| {
        // CAST: A small number, if it is one of a row's middle.
        let row = ((x - x.round()).abs() < 0.01).then(|| rows.get(x.round() as usize));
        row.flatten().map_or(String::new(), |row| {
            let threads = if row.threads == 1 {
                "thread"
            } else {
                "threads"
            };
            format!("{}, {} {threads}", row.what, row.threads)
        })
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(2 * rows.len() + 1)
        .x_label_formatter(&label)
        .draw()?;
    for (i, (contestant, colour)) in Contestant::ALL.into_iter().zip(COLOURS).enumerate() {
        let figures: Vec<_> = rows
            .iter()
            .enumerate()
            .filter_map(|(x, row)| Some((x as f64, row.of(contestant)?)))
            .collect();
        if figures.is_empty() {
            continue;
        }
        let left = |x: f64| x - 0.39 + 0.26 * i as f64;
        let bars = figures.iter().map(|(x, figure)| {
            let x = left(*x);
            Rectangle::new(
                [(x + 0.01, 0.0), (x + 0.25, figure.median)],
                colour.filled(),
            )
        });
        chart
            .draw_series(bars)?
            .label(contestant.name())
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
        let spreads = figures.iter().map(|(x, figure)| {
            let middle = left(*x) + 0.13;
            PathElement::new([(middle, figure.least), (middle, figure.most)], BLACK)
        });
        chart.draw_series(spreads)?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE)
        .border_style(BLACK)
        .draw()?;
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn there_is_a_picture_of_each_kind() {
        let mut report = report();
        let mut other = report.rows[0].share("prefill of 128", "tokens/s", 10.0);
        other.model = "n".to_owned();
        report.rows.push(other);
        let time = report.rows[0].share("load", "ms", 1.0);
        report.rows.push(time);
        let dir = std::env::temp_dir().join(format!("xtask-plot-{}", std::process::id()));
        let files = draw(&report, &dir).unwrap();
        assert_eq!(files, [dir.join("m-decode.svg"), dir.join("n-prefill.svg")]);
        let text = fs::read_to_string(&files[0]).unwrap();
        for part in ["<svg", "llama.cpp", "host", "decode, 2 threads", "</svg>"] {
            assert!(text.contains(part), "{part}");
        }
        // Nobody has measured it.
        assert!(!text.contains("UML kernel"));
        fs::remove_dir_all(dir).unwrap();
    }
}
