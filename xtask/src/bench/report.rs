// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What was measured: as JSON, and as a table for people.

use std::fmt::Write as _;
use std::fs;

use serde::Serialize;

use super::llama_cpp::Tried;
use super::load;
use super::what::{Contestant, What};

/// Everything that one call has measured.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) command: String,
    pub(super) machine: Machine,
    /// The package that llama.cpp was built from.
    pub(super) llama_cpp: &'static str,
    pub(super) llama_cpp_tried: Vec<Tried>,
    pub(super) rounds: u32,
    /// What else used the machine, in processors, when measuring began.
    pub(super) other_load: f64,
    /// How fast memory is read.
    pub(super) bandwidth: Vec<Bandwidth>,
    pub(super) rows: Vec<Row>,
}

/// Where it was measured.
#[derive(Serialize)]
pub(super) struct Machine {
    processor: String,
    processors: usize,
    /// Those of its instructions that matter here.
    features: Vec<String>,
    memory_bytes: u64,
    virtual_machine: bool,
}

/// How fast so many threads read memory.
#[derive(Serialize)]
pub(super) struct Bandwidth {
    pub(super) threads: usize,
    pub(super) bytes_per_second: Figure,
}

/// One row of the table.
#[derive(Serialize)]
pub(super) struct Row {
    pub(super) model: String,
    pub(super) threads: usize,
    pub(super) what: String,
    pub(super) unit: &'static str,
    pub(super) more_is_better: bool,
    pub(super) llama_cpp: Option<Figure>,
    /// What it was set to.
    pub(super) llama_cpp_setting: Option<String>,
    pub(super) host: Option<Figure>,
    pub(super) uml_kernel: Option<Figure>,
}

/// The median of some samples, and between what they were.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figure {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
    pub(super) samples: Vec<f64>,
}

impl Figure {
    /// None of no samples.
    pub(super) fn new(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let upper = sorted.len() / 2;
        let above = *sorted.get(upper)?;
        let median = match sorted.len() % 2 {
            1 => above,
            _ => (sorted[upper - 1] + above) / 2.0,
        };
        Some(Self {
            median,
            least: *sorted.first()?,
            most: *sorted.last()?,
            samples: samples.to_vec(),
        })
    }

    /// The same in another unit.
    pub(super) fn times(&self, factor: f64) -> Self {
        Self {
            median: self.median * factor,
            least: self.least * factor,
            most: self.most * factor,
            samples: self.samples.iter().map(|sample| sample * factor).collect(),
        }
    }

    /// As in `12.3 (11.9 to 12.8)`.
    fn words(&self) -> String {
        let median = number(self.median);
        if self.samples.len() < 2 {
            return median;
        }
        format!("{median} ({} to {})", number(self.least), number(self.most))
    }
}

/// With three digits that say something.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 || v == 0.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

impl Row {
    pub(super) fn of(&self, contestant: Contestant) -> Option<&Figure> {
        match contestant {
            Contestant::LlamaCpp => self.llama_cpp.as_ref(),
            Contestant::Host => self.host.as_ref(),
            Contestant::Kernel => self.uml_kernel.as_ref(),
        }
    }

    /// The same figures as a share of something, each token being so much of it.
    pub(super) fn share(&self, what: &str, unit: &'static str, each: f64) -> Self {
        let times = |figure: &Option<Figure>| figure.as_ref().map(|figure| figure.times(each));
        Self {
            model: self.model.clone(),
            threads: self.threads,
            what: what.to_owned(),
            unit,
            more_is_better: true,
            llama_cpp: times(&self.llama_cpp),
            llama_cpp_setting: None,
            host: times(&self.host),
            uml_kernel: times(&self.uml_kernel),
        }
    }

    /// How many times as fast `who` is as `whom`, by the medians.
    pub(super) fn ratio(&self, who: Contestant, whom: Contestant) -> Option<f64> {
        let (who, whom) = (self.of(who)?.median, self.of(whom)?.median);
        let (above, below) = match self.more_is_better {
            true => (who, whom),
            false => (whom, who),
        };
        (below > 0.0).then(|| above / below)
    }
}

impl Machine {
    pub(super) fn new() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self::of(&info, &memory, load::cpus())
    }

    fn of(cpuinfo: &str, meminfo: &str, processors: usize) -> Self {
        let field = |text: &str, key: &str| {
            text.lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.trim() == key)
                .map(|(_, value)| value.trim().to_owned())
        };
        let flags = field(cpuinfo, "flags").unwrap_or_default();
        let flags: Vec<_> = flags.split(' ').collect();
        let features = [
            "avx2",
            "fma",
            "f16c",
            "avx_vnni",
            "avx512f",
            "avx512bw",
            "avx512dq",
            "avx512vl",
            "avx512_vnni",
            "amx_int8",
        ];
        let kib = field(meminfo, "MemTotal").and_then(|value| {
            let number: u64 = value.strip_suffix(" kB")?.parse().ok()?;
            Some(number)
        });
        Self {
            processor: field(cpuinfo, "model name").unwrap_or_else(|| "unknown".to_owned()),
            processors,
            features: features
                .into_iter()
                .filter(|feature| flags.contains(feature))
                .map(str::to_owned)
                .collect(),
            memory_bytes: kib.unwrap_or(0) * 1024,
            virtual_machine: flags.contains(&"hypervisor"),
        }
    }

    fn words(&self) -> String {
        format!(
            "{} processors of {}{} ({}), {:.0} GB of memory",
            self.processors,
            self.processor,
            match self.virtual_machine {
                true => " in a virtual machine",
                false => "",
            },
            self.features.join(", "),
            self.memory_bytes as f64 / 1e9,
        )
    }
}

impl Report {
    /// The table, and what one has to know to read it.
    pub(super) fn markdown(&self) -> String {
        let mut text = format!("`{}` on {}", self.command, self.machine.words());
        for bandwidth in &self.bandwidth {
            let gigabytes = bandwidth.bytes_per_second.times(1e-9).words();
            let _ = write!(
                text,
                "; {} read{} {gigabytes} GB/s",
                threads(bandwidth.threads),
                if bandwidth.threads == 1 { "s" } else { "" },
            );
        }
        let _ = write!(text, ".\nMedians of {} in turns", rounds(self.rounds));
        if self.rounds > 1 {
            text += ", with the least and the most";
        }
        text += "; × is how many times as fast.\n";
        if self.other_load >= 0.1 {
            let _ = writeln!(
                text,
                "Something else used {:.1} processors when this began.",
                self.other_load
            );
        }
        let columns = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let head = [
            "model",
            "threads",
            "what",
            "unit",
            "llama.cpp",
            "host",
            "× llama.cpp",
            "UML kernel",
            "× llama.cpp",
            "× host",
        ];
        let lines = ["---", "---:", "---", "---"].iter().chain(&["---:"; 6]);
        text += "\n";
        text += &columns(&head.map(str::to_owned));
        text += &columns(&lines.map(|&line| line.to_owned()).collect::<Vec<_>>());
        for row in &self.rows {
            use Contestant::{Host, Kernel, LlamaCpp};
            let figure = |of| row.of(of).map_or(String::new(), Figure::words);
            let ratio = |who, whom| {
                let ratio = row.ratio(who, whom);
                ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"))
            };
            text += &columns(&[
                row.model.clone(),
                row.threads.to_string(),
                row.what.clone(),
                row.unit.to_owned(),
                figure(LlamaCpp),
                figure(Host),
                ratio(Host, LlamaCpp),
                figure(Kernel),
                ratio(Kernel, LlamaCpp),
                ratio(Kernel, Host),
            ]);
        }
        let settings = self.settings();
        if !settings.is_empty() {
            let _ = writeln!(
                text,
                "\nllama.cpp's best settings, as measured: {settings}."
            );
        }
        // Here they differ so much that one has to know.
        let busy = What::Busy.name();
        for row in self.rows.iter().filter(|row| row.what == busy) {
            let of_row = |tried: &&Tried| {
                (&tried.model, tried.threads, &tried.what) == (&row.model, row.threads, &row.what)
            };
            let tried: Vec<_> = self
                .llama_cpp_tried
                .iter()
                .filter(of_row)
                .map(|of| format!("{} with `{}`", number(of.tokens_per_second), of.setting))
                .collect();
            let _ = writeln!(
                text,
                "\nllama.cpp's {busy} with {}, tried once each: {}.",
                row.model,
                tried.join(", ")
            );
        }
        text
    }

    /// What llama.cpp was set to, and for which rows.
    fn settings(&self) -> String {
        let mut all: Vec<(&str, Vec<String>)> = Vec::new();
        for row in &self.rows {
            let Some(setting) = &row.llama_cpp_setting else {
                continue;
            };
            let place = format!("{} on {} of {}", row.what, threads(row.threads), row.model);
            match all.iter_mut().find(|(of, _)| of == setting) {
                Some((_, places)) => places.push(place),
                None => all.push((setting, vec![place])),
            }
        }
        // The commonest needs no list.
        all.sort_by_key(|(_, places)| std::cmp::Reverse(places.len()));
        let words = all
            .iter()
            .enumerate()
            .map(|(i, (setting, places))| match i {
                0 => format!("`{setting}`"),
                _ => format!("`{setting}` for {}", places.join(", ")),
            });
        words.collect::<Vec<_>>().join("; ")
    }
}

/// `1 thread`, `2 threads`.
pub(super) fn threads(count: usize) -> String {
    match count {
        1 => "1 thread".to_owned(),
        count => format!("{count} threads"),
    }
}

fn rounds(count: u32) -> String {
    match count {
        1 => "1 round".to_owned(),
        count => format!("{count} rounds"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::bench) fn report() -> Report {
        Report {
            command: "cargo xtask bench".to_owned(),
            machine: Machine::of("", "", 2),
            llama_cpp: "",
            llama_cpp_tried: [("-fa off", 12.5), ("-fa on", 13.25)]
                .map(|(setting, tokens_per_second)| Tried {
                    model: "m".to_owned(),
                    threads: 2,
                    what: What::Busy.name(),
                    setting: setting.to_owned(),
                    tokens_per_second,
                })
                .to_vec(),
            rounds: 3,
            other_load: 0.0,
            bandwidth: Vec::new(),
            rows: vec![row(true)],
        }
    }

    fn row(more_is_better: bool) -> Row {
        Row {
            model: "m".to_owned(),
            threads: 2,
            what: "decode".to_owned(),
            unit: "tokens/s",
            more_is_better,
            llama_cpp: Figure::new(&[100.0, 120.0, 90.0]),
            llama_cpp_setting: Some("-fa on".to_owned()),
            host: Figure::new(&[200.0, 210.0]),
            uml_kernel: None,
        }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        let figure = Figure::new(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!((figure.median, figure.least, figure.most), (2.0, 1.0, 3.0));
        assert_eq!(Figure::new(&[4.0, 1.0, 3.0, 2.0]).unwrap().median, 2.5);
        assert!(Figure::new(&[]).is_none());
    }

    #[test]
    fn a_ratio_above_one_is_faster() {
        use Contestant::{Host, Kernel, LlamaCpp};
        assert_eq!(row(true).ratio(Host, LlamaCpp), Some(2.05));
        assert_eq!(row(false).ratio(LlamaCpp, Host), Some(2.05));
        assert_eq!(row(true).ratio(Kernel, Host), None);
    }

    #[test]
    fn what_is_not_there_is_an_empty_cell() {
        let text = report().markdown();
        let expected =
            "| m | 2 | decode | tokens/s | 100 (90.0 to 120) | 205 (200 to 210) | 2.05 |  |  |  |";
        assert!(text.lines().any(|line| line == expected), "{text}");
    }

    #[test]
    fn what_was_tried_beside_a_compile_is_told() {
        let mut report = report();
        assert!(!report.markdown().contains("tried once"));
        report.rows[0].what = What::Busy.name();
        let text = report.markdown();
        let expected = "llama.cpp's decode beside a compile with m, tried once each: \
                        12.5 with `-fa off`, 13.2 with `-fa on`.";
        assert!(text.lines().any(|line| line == expected), "{text}");
    }

    #[test]
    fn the_machine_is_described() {
        let cpuinfo = "processor\t: 0\nmodel name\t: AMD EPYC\n\
                       flags\t\t: fpu avx2 hypervisor avx512f avx512_vnni\n";
        let meminfo = "MemTotal:       24689764 kB\nMemFree:          123 kB\n";
        assert_eq!(
            Machine::of(cpuinfo, meminfo, 2).words(),
            "2 processors of AMD EPYC in a virtual machine (avx2, avx512f, avx512_vnni), 25 GB of memory"
        );
    }
}
