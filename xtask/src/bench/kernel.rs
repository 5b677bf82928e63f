// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The engine in a User Mode Linux kernel: what `llama` and the files in /proc/llamux say in one boot.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{bail, Result};
use serde::Deserialize;

use super::host::Host;
use super::what::{What, BUSY_DECODED, DECODED, IDLE, PREFIX, QUESTION, SESSION_DECODED, STREAMED};
use super::Sample;
use crate::context::Context;
use crate::kernel::{Source, Target};
use crate::model::Model;
use crate::run::{quoted, Boot};

/// What the output of each part begins with.
const MARK: &str = "xtask-bench: ";
/// Lines of /proc/llamux/latency that count sections shorter than 64 µs.
const SHORT: [&str; 7] = [
    "below_1_us",
    "below_2_us",
    "below_4_us",
    "below_8_us",
    "below_16_us",
    "below_32_us",
    "below_64_us",
];

/// A kernel to boot for each measurement.
pub(super) struct Kernel<'a> {
    cx: &'a Context,
    source: &'a Source,
    /// Knows the tokens of texts.
    host: &'a Host,
    /// What was made already, for each model and what is measured.
    scripts: RefCell<BTreeMap<(String, Vec<What>), String>>,
}

/// What `llama --json` prints, as far as it matters here.
#[derive(Deserialize)]
struct Answer {
    prompt_tokens: u32,
    tokens: u32,
    seconds: f64,
    first_seconds: Option<f64>,
}

impl<'a> Kernel<'a> {
    pub(super) fn new(cx: &'a Context, source: &'a Source, host: &'a Host) -> Self {
        Self {
            cx,
            source,
            host,
            scripts: RefCell::default(),
        }
    }

    /// Builds what is missing and sees that it boots, so that the first measurement does not have to.
    pub(super) fn prepare(&self) -> Result<()> {
        let outcome = Boot::new(Target::Uml, self.source, "true").run(self.cx)?;
        outcome.status().map(|_| ())
    }

    /// Measures all of `whats` in one boot. What the kernel does not tell is left out.
    pub(super) fn measure(
        &self,
        model: &Model,
        threads: usize,
        whats: &[What],
    ) -> Result<Vec<Sample>> {
        let key = (model.name.clone(), whats.to_vec());
        let known = self.scripts.borrow().get(&key).cloned();
        let script = match known {
            Some(script) => script,
            None => self.script(model, whats)?,
        };
        self.scripts.borrow_mut().insert(key, script.clone());
        let mut boot = Boot::new(Target::Uml, self.source, &script);
        boot.model = Some(model);
        boot.threads = Some(threads);
        // The others compute every token.
        boot.append.push("llamux.speculate=0".to_owned());
        // And nothing else is to be asked meanwhile.
        boot.append
            .push("llamux.greeting=0 llamux.idle=0".to_owned());
        boot.timeout = Some(Duration::from_secs(1800));
        let outcome = boot.run(self.cx)?;
        if outcome.status()? != 0 {
            bail!("the kernel did not answer: {}", outcome.output);
        }
        let parts = Parts::new(&outcome.output);
        let value = |&what: &What| {
            let value = match what {
                What::Load => load(&outcome.log),
                what => parts.value(what),
            };
            value.map(|value| (what, value))
        };
        Ok(whats.iter().filter_map(value).collect())
    }

    fn script(&self, model: &Model, whats: &[What]) -> Result<String> {
        // The cache has nothing of a text that begins differently: each has a seed of its own.
        let mut seed = 0;
        let mut words = |tokens: u32| {
            seed += 1;
            self.host.words(model, tokens.max(1), seed)
        };
        let mut script = format!(
            "ask() {{ llama --raw --temperature 0 --json \"$@\"; }}\n\
             part() {{ echo '{MARK}'\"$1\"; }}\n\
             state() {{ cat /proc/llamux/status; }}\n\
             now() {{ echo \"uptime: $(cut -d' ' -f1 /proc/uptime)\"; }}\n\
             threads() {{\n\
             \tfor dir in /proc/[0-9]*; do\n\
             \t\tcase \"$(cat $dir/comm)\" in llamux*) cat $dir/sched ;; esac\n\
             \tdone\n\
             }}\n\
             set -e\n\
             ask --max-tokens 8 -- {} >/dev/null\n",
            words(8)?
        );
        let mut parts = Vec::new();
        for &what in whats {
            if parts.contains(&part(what)) {
                continue;
            }
            parts.push(part(what));
            let question =
                |tokens: u32, text: &str| format!("ask --max-tokens {tokens} -- {text}\n");
            let body = match what {
                What::Prefill(tokens) => question(1, &words(tokens)?),
                What::Decode(depth) => question(DECODED + 1, &words(depth)?),
                What::Busy => question(BUSY_DECODED + 1, &words(0)?),
                What::FirstCold | What::FirstCached => {
                    let text = words(PREFIX + QUESTION)?;
                    format!("{}{}", question(1, &text), question(1, &turned(&text)))
                }
                What::FirstStreamed => {
                    // Through the device: that is what naming a model does.
                    let ask = "llama --json --temperature 0 --max-tokens 8 \
                               --model \"$(cat /sys/kernel/llamux/default)\" --";
                    let ask = |question| format!("{ask} {}\n", quoted(question));
                    STREAMED.map(ask).concat()
                }
                What::Sessions(count) => {
                    let mut body = "now\n".to_owned();
                    for _ in 0..count {
                        let text = words(1)?;
                        let _ =
                            writeln!(body, "ask --max-tokens {} -- {text} &", SESSION_DECODED + 1);
                    }
                    body + "wait\nnow\n"
                }
                What::LongestSection | What::LongSections => {
                    "cat /proc/llamux/latency\n".to_owned()
                }
                What::Idle | What::Wakeups => {
                    format!("sleep 1\nthreads\nsleep {IDLE}\necho later:\nthreads\n")
                }
                What::Load => continue,
            };
            let _ = write!(script, "part '{}'\nstate\n{body}state\n", part(what));
        }
        Ok(script)
    }
}

/// The part of the output that a row is in, as some have the same.
fn part(what: What) -> String {
    match what {
        What::LongSections => What::LongestSection.name(),
        What::Wakeups => What::Idle.name(),
        What::FirstCached => What::FirstCold.name(),
        what => what.name(),
    }
}

/// A quoted prefix and question with the words of the question the other way round.
fn turned(text: &str) -> String {
    let mut words: Vec<_> = text.trim_matches('\'').split(' ').collect();
    let question = words.len().saturating_sub(QUESTION as usize);
    words[question..].reverse();
    quoted(&words.join(" "))
}

/// The output of a boot by the names of its parts.
struct Parts<'a>(BTreeMap<&'a str, Vec<&'a str>>);

impl<'a> Parts<'a> {
    fn new(output: &'a str) -> Self {
        let mut parts = BTreeMap::new();
        let mut name = None;
        for line in output.lines().map(str::trim_end) {
            if let Some(next) = line.strip_prefix(MARK) {
                name = Some(next);
                parts.insert(next, Vec::new());
            } else if let Some(lines) = name.and_then(|name| parts.get_mut(name)) {
                lines.push(line);
            }
        }
        Self(parts)
    }

    /// What a part measured, if it did.
    fn value(&self, what: What) -> Option<f64> {
        let lines: &[&str] = self.0.get(part(what).as_str())?;
        let answers: Vec<Answer> = lines
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let numbers = |key: &str| numbers(lines, key);
        let (before, after) = (Sums::new(lines, false)?, Sums::new(lines, true)?);
        match what {
            What::Prefill(tokens) => {
                let read = f64::from(answers.first()?.prompt_tokens);
                let seconds = after.prefill_seconds()? - before.prefill_seconds()?;
                // Another number of tokens were another measurement.
                (read == f64::from(tokens) && seconds > 0.0).then(|| read / seconds)
            }
            What::Decode(depth) => {
                let answer = answers.first()?;
                let decoded = answer.tokens.saturating_sub(1);
                let seconds = after.decode_seconds()? - before.decode_seconds()?;
                // An answer that ended by itself measures as well if it is not all too short. One more
                // token in the prompt is what some models want in front of every text.
                let deep = answer.prompt_tokens.abs_diff(depth.max(1)) <= 1;
                (deep && decoded >= DECODED / 2 && seconds > 0.0)
                    .then(|| f64::from(decoded) / seconds)
            }
            What::Busy => {
                let decoded = answers.first()?.tokens.saturating_sub(1);
                let seconds = after.decode_seconds()? - before.decode_seconds()?;
                (decoded >= BUSY_DECODED / 2 && seconds > 0.0).then(|| f64::from(decoded) / seconds)
            }
            What::FirstCold | What::FirstCached => {
                // The second one has the prefix of the first.
                let answer = match what {
                    What::FirstCold => answers.first()?,
                    _ => answers.get(1)?,
                };
                let whole = answer.prompt_tokens == PREFIX + QUESTION;
                whole.then_some(1000.0 * answer.seconds)
            }
            What::FirstStreamed => Some(1000.0 * answers.get(1)?.first_seconds?),
            What::Sessions(count) => {
                let [begin, end] = numbers("uptime")[..] else {
                    return None;
                };
                let tokens: u32 = answers.iter().map(|answer| answer.tokens).sum();
                let all = answers.len() == count as usize && end > begin;
                all.then(|| f64::from(tokens) / (end - begin))
            }
            What::LongestSection => Some(numbers("longest_ns").first()? / 1000.0),
            What::LongSections => {
                let all = *numbers("sections").first()?;
                let short: f64 = SHORT
                    .iter()
                    .filter_map(|key| numbers(key).first().copied())
                    .sum();
                (all > 0.0).then(|| 100.0 * (all - short) / all)
            }
            What::Idle => since(lines, "se.sum_exec_runtime"),
            What::Wakeups => since(lines, "nr_switches"),
            What::Load => None,
        }
    }
}

/// The sums of /proc/llamux/status.
struct Sums {
    requests: f64,
    prompt_tokens: f64,
    response_tokens: f64,
    /// Millitokens a second, of all that was done so far.
    prefill: f64,
    decode: f64,
}

impl Sums {
    /// The first ones among the lines, or the last ones.
    fn new(lines: &[&str], last: bool) -> Option<Self> {
        let number = |key: &str| {
            let numbers = numbers(lines, key);
            match last {
                true => numbers.last().copied(),
                false => numbers.first().copied(),
            }
        };
        Some(Self {
            requests: number("requests_served")?,
            prompt_tokens: number("prompt_tokens")?,
            response_tokens: number("response_tokens")?,
            prefill: number("prefill_millitokens_per_second")?,
            decode: number("decode_millitokens_per_second")?,
        })
    }

    /// How long all prompts took, if the cache had nothing of them.
    fn prefill_seconds(&self) -> Option<f64> {
        (self.prefill > 0.0).then(|| 1000.0 * self.prompt_tokens / self.prefill)
    }

    /// How long all answers took: the first token of each comes out of its prompt.
    fn decode_seconds(&self) -> Option<f64> {
        let decoded = self.response_tokens - self.requests;
        (self.decode > 0.0).then(|| 1000.0 * decoded / self.decode)
    }
}

/// The numbers behind a key and a colon, blanks before the colon or not.
fn numbers(lines: &[&str], key: &str) -> Vec<f64> {
    let number = |line: &&str| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim().parse().ok())?
    };
    lines.iter().filter_map(number).collect()
}

/// By how much the sum of a number over all threads has grown when it was printed for the second time.
fn since(lines: &[&str], key: &str) -> Option<f64> {
    let later = lines.iter().position(|line| *line == "later:")?;
    let (before, after) = lines.split_at(later);
    let (before, after) = (numbers(before, key), numbers(after, key));
    let there = !before.is_empty() && before.len() == after.len();
    there.then(|| after.iter().sum::<f64>() - before.iter().sum::<f64>())
}

/// How long the driver says that it took to load the model, in milliseconds.
fn load(log: &[String]) -> Option<f64> {
    log.iter().find_map(|line| {
        let (_, time) = line.split_once(", loaded in ")?;
        time.strip_suffix(" ms")?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = include_str!("recorded/kernel.txt");

    fn of(output: &str, what: What) -> Option<f64> {
        Parts::new(output).value(what)
    }

    #[test]
    fn what_a_boot_prints_is_read() {
        let close = |what, expected: f64| {
            let value = of(RECORDED, what).unwrap();
            assert!((value / expected - 1.0).abs() < 1e-3, "{what:?}: {value}");
        };
        close(What::Prefill(128), 292.69);
        close(What::Decode(0), 54.52);
        close(What::FirstCold, 2277.15);
        close(What::FirstCached, 2500.14);
        close(What::Sessions(2), 66.0 / 0.85);
        close(What::LongestSection, 104148.2);
        close(What::LongSections, 0.3894);
        assert_eq!(of(RECORDED, What::Idle), Some(0.0));
        assert_eq!(of(RECORDED, What::Wakeups), Some(0.0));
    }

    #[test]
    fn what_was_not_measured_as_asked_is_left_out() {
        assert_eq!(of(RECORDED, What::Prefill(512)), None);
        let other = RECORDED.replace("\"prompt_tokens\":128", "\"prompt_tokens\":127");
        assert_eq!(of(&other, What::Prefill(128)), None);
        let short = RECORDED.replace("\"tokens\":65", "\"tokens\":20");
        assert_eq!(of(&short, What::Decode(0)), None);
        let fewer = RECORDED.replacen("\"prompt_tokens\":1,\"tokens\":33", "", 1);
        assert_eq!(of(&fewer, What::Sessions(2)), None);
        let gone = RECORDED.replacen("se.sum_exec_runtime", "", 1);
        assert_eq!(of(&gone, What::Idle), None);
    }

    #[test]
    fn the_first_token_of_a_stream_is_the_second_answers() {
        let sums = RECORDED
            .lines()
            .skip(1)
            .take_while(|line| !line.starts_with('{'));
        let sums = sums.collect::<Vec<_>>().join("\n");
        let answer = |first| {
            format!("{{\"text\":\"\",\"prompt_tokens\":9,\"tokens\":8,\"seconds\":0.4{first}}}\n")
        };
        let output = |second| {
            let (name, first) = (What::FirstStreamed.name(), answer(",\"first_seconds\":0.5"));
            format!("{MARK}{name}\n{sums}\n{first}{}{sums}\n", answer(second))
        };
        let value = of(&output(",\"first_seconds\":0.0625"), What::FirstStreamed);
        assert_eq!(value, Some(62.5));
        assert_eq!(of(&output(""), What::FirstStreamed), None);
    }

    #[test]
    fn a_thread_that_ran_while_idle_is_seen() {
        let at = RECORDED.rfind("nr_switches").unwrap();
        let (before, after) = RECORDED.split_at(at);
        let more = after.replacen(" 101", " 104", 1);
        assert_eq!(of(&format!("{before}{more}"), What::Wakeups), Some(3.0));
    }

    #[test]
    fn the_driver_says_how_long_it_loaded() {
        let line = "[    1.200000] llamux: /lib/firmware/llamux/smollm2-135m.gguf: Smollm2 135M 8k \
                    Lc100K Mix1 Ep2, llama, 134515008 parameters, Q4_1, 220949887 bytes of reserved \
                    memory, avx512-vnni on 2 threads, loaded in 371 ms";
        assert_eq!(load(&[String::new(), line.to_owned()]), Some(371.0));
        assert_eq!(load(&[]), None);
    }

    #[test]
    fn a_turned_question_keeps_its_prefix() {
        let text = quoted(&(0..40).map(|i| i.to_string()).collect::<Vec<_>>().join(" "));
        let turned = turned(&text);
        let prefix = text.find(" 24").unwrap();
        assert_eq!(turned[..prefix], text[..prefix]);
        assert!(turned.ends_with(" 25 24'"), "{turned}");
    }
}
