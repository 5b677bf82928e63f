// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `lsh` for tests, with somebody else in the place of the model: what it says stands in the file that
//! `LSH_TOLD` names.
//!
//! Each line of it has a word of the question and what is then said, with a tab between. Said is a command, or
//! what else a model may do: `!missing`, `!cut`, `!busy` for one that takes long.
//!
//! With `offer` as its first word it offers the command for the others as `llama` does.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use llamux::Error;
use llamux_assistant::{Model, Reply, Request};
use lsh::{Chosen, Offer};

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some("offer") {
        let words: Vec<_> = words.collect();
        return offer(&words.join(" "));
    }
    lsh::main_with(|_| Box::new(|| Ok(Box::new(Told))))
}

fn offer(request: &str) -> ExitCode {
    let offer = Offer::new(Box::new(|| Ok(Box::new(Told))), Duration::from_secs(10));
    match offer.choose(request) {
        Ok(Some(Ok(Chosen::Run(command)))) => println!("{}", offer.run(&command)),
        Ok(chosen) => println!("{chosen:?}"),
        Err(error) => println!("{error}"),
    }
    ExitCode::FAILURE
}

struct Told;

impl Model for Told {
    fn ask(
        &mut self,
        request: &Request,
        each: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Reply, Error> {
        let begin = Instant::now();
        let path = std::env::var_os("LSH_TOLD").unwrap_or_default();
        let told = std::fs::read_to_string(path).map_err(Error::Other)?;
        let lines: Vec<_> = told
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .collect();
        // A second attempt is asked for without the request's words.
        let before = request.before.iter().rev().map(|(_, text)| text);
        let said = std::iter::once(&request.question)
            .chain(before)
            .find_map(|text| lines.iter().find(|(word, _)| text.contains(word)));
        let said = said.map_or("I do not know.", |(_, said)| said);
        let mut complete = true;
        let text = match said {
            "!missing" => return Err(Error::NoModel { reason: None }),
            "!cut" => {
                complete = false;
                "```bash\nfind / -name".to_owned()
            }
            "!busy" => {
                let deadline = request.timeout.unwrap_or(Duration::from_secs(60));
                while begin.elapsed() < deadline {
                    std::thread::sleep(Duration::from_millis(20));
                    if !each("") {
                        break;
                    }
                }
                return Err(Error::TimedOut);
            }
            said => format!("```bash\n{}\n```", said.replace("\\n", "\n")),
        };
        each(&text);
        Ok(Reply {
            text,
            complete,
            prompt_tokens: 1,
            tokens: 1,
            first: Some(begin.elapsed()),
            elapsed: begin.elapsed(),
        })
    }
}
