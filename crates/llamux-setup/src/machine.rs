// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What is known of the machine: its memory, its processor, and the kernel that runs.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::files;
use crate::memory::mebibytes;

/// The fastest instructions that the kernel can compute with here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Instructions {
    /// None but those that each processor has.
    Scalar,
    /// AVX2 with FMA and F16C.
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
    /// Those, and VNNI.
    Avx512Vnni,
}

impl Instructions {
    /// What it means for answers.
    pub fn about(self) -> &'static str {
        match self {
            Self::Scalar => {
                "without AVX2: answers will be very slow, several times slower than with it"
            }
            Self::Avx2 => "with AVX2",
            Self::Avx512 => "with AVX-512",
            Self::Avx512Vnni => "with AVX-512 and VNNI",
        }
    }
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// What the kernel manages, and what it reserved for models, in MiB.
    pub memory_mb: u64,
    /// How many processors there are.
    pub processors: usize,
    /// The processor's name.
    pub processor: String,
    /// What it can compute with.
    pub instructions: Instructions,
    /// The running kernel's state of the model; none without Llamux.
    pub state: Option<String>,
}

impl Machine {
    /// Reads the facts below `root`.
    pub fn read(root: &Path) -> Result<Self> {
        let read = |path: &str| files::read_if_there(&root.join(path));
        let text = |path: &str| read(path)?.with_context(|| format!("there is no /{path}"));
        Self::new(
            &text("proc/meminfo")?,
            &text("proc/cpuinfo")?,
            read("sys/kernel/llamux/memory")?.as_deref(),
            read("proc/llamux/status")?.as_deref(),
        )
    }

    /// Takes the texts of `/proc/meminfo`, `/proc/cpuinfo`, `/sys/kernel/llamux/memory` and
    /// `/proc/llamux/status` apart; the kernel has the last two if it has Llamux.
    pub fn new(
        meminfo: &str,
        cpuinfo: &str,
        llamux_memory: Option<&str>,
        status: Option<&str>,
    ) -> Result<Self> {
        let total = value(meminfo, "MemTotal")
            .and_then(|value| value.strip_suffix(" kB")?.trim().parse::<u64>().ok())
            .context("/proc/meminfo has no MemTotal")?;
        // What is reserved at boot is none of the total.
        let reserved = llamux_memory
            .and_then(|text| value(text, "reserved")?.parse::<u64>().ok())
            .unwrap_or(0);
        let is_processor = |line: &&str| {
            line.split_once(':')
                .is_some_and(|(k, _)| k.trim() == "processor")
        };
        Ok(Self {
            memory_mb: total / 1024 + mebibytes(reserved),
            processors: cpuinfo.lines().filter(is_processor).count().max(1),
            processor: value(cpuinfo, "model name")
                .unwrap_or("of an unknown name")
                .to_owned(),
            instructions: instructions(value(cpuinfo, "flags").unwrap_or_default()),
            state: status.map(|text| value(text, "state").unwrap_or("unknown").to_owned()),
        })
    }
}

/// The value of the first line `key: value`.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim())
}

/// As the driver asks for them (`shim.c`).
fn instructions(flags: &str) -> Instructions {
    let has = |all: &[&str]| {
        all.iter()
            .all(|flag| flags.split_whitespace().any(|f| f == *flag))
    };
    if !has(&["avx2", "fma", "f16c"]) {
        Instructions::Scalar
    } else if !has(&["avx512f", "avx512bw", "avx512dq", "avx512vl"]) {
        Instructions::Avx2
    } else if !has(&["avx512_vnni"]) {
        Instructions::Avx512
    } else {
        Instructions::Avx512Vnni
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Of a notebook of 2012, an ordinary desktop, and a virtual machine on a server.
    pub(crate) const RECORDED: [(&str, &str); 3] = [
        (
            "MemTotal:        3910144 kB\nMemFree:          130324 kB\n",
            "processor\t: 0\nmodel name\t: Intel(R) Core(TM) i5-3320M CPU @ 2.60GHz\n\
             flags\t\t: fpu sse4_1 sse4_2 avx f16c\n\nprocessor\t: 1\n\
             model name\t: Intel(R) Core(TM) i5-3320M CPU @ 2.60GHz\n",
        ),
        (
            "MemTotal:       16291368 kB\n",
            "processor\t: 0\nmodel name\t: AMD Ryzen 5 3600 6-Core Processor\n\
             flags\t\t: fpu fma avx f16c bmi1 avx2 bmi2\n",
        ),
        (
            "MemTotal:        1002512 kB\n",
            "processor\t: 0\nmodel name\t: AMD EPYC 9R14\n\
             flags\t\t: fma f16c avx2 avx512f avx512dq avx512bw avx512vl avx512_vnni\n",
        ),
    ];

    pub(crate) fn recorded(at: usize) -> Machine {
        let (meminfo, cpuinfo) = RECORDED[at];
        Machine::new(meminfo, cpuinfo, None, None).unwrap()
    }

    #[test]
    fn recorded_machines_are_told_apart() {
        let notebook = recorded(0);
        assert_eq!(notebook.memory_mb, 3818);
        assert_eq!(notebook.processors, 2);
        assert_eq!(notebook.instructions, Instructions::Scalar);
        assert_eq!(notebook.state, None);
        assert_eq!(recorded(1).instructions, Instructions::Avx2);
        assert_eq!(recorded(1).processor, "AMD Ryzen 5 3600 6-Core Processor");
        assert_eq!(recorded(2).instructions, Instructions::Avx512Vnni);
    }

    #[test]
    fn what_a_running_llamux_has_reserved_counts() {
        let (meminfo, cpuinfo) = RECORDED[2];
        let memory = "source: reserved\nreserved: 201326592\nfree: 0\n";
        let status = "version: 0.1.0\nstate: ready\n";
        let machine = Machine::new(meminfo, cpuinfo, Some(memory), Some(status)).unwrap();
        assert_eq!(machine.memory_mb, 979 + 192);
        assert_eq!(machine.state.as_deref(), Some("ready"));
    }

    #[test]
    fn a_machine_without_facts_is_refused() {
        assert!(Machine::new("MemFree: 1 kB\n", "", None, None).is_err());
        assert!(Machine::new("MemTotal: lots\n", "", None, None).is_err());
        let machine = Machine::new("MemTotal: 2048 kB\n", "", None, None).unwrap();
        assert_eq!(machine.instructions, Instructions::Scalar);
        assert_eq!(machine.processors, 1);
    }
}
