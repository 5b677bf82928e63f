// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Asks the kernel's model, and prints the answer as it comes: `cargo run -p llamux --example ask -- QUESTION`.

use std::io::Write as _;
use std::process::ExitCode;

use llamux::{Answer, Command, Error, Session};

fn ask(command: &Command) -> Result<Answer, Error> {
    let session = match Session::open() {
        Ok(session) => session,
        // Where /dev/llama may not be opened, the answer comes in one piece.
        Err(Error::Device(_)) => {
            let answer = command.ask()?;
            print!("{}", answer.text);
            return Ok(answer);
        }
        Err(error) => return Err(error),
    };
    session.ask(command, |part| {
        print!("{part}");
        // `false` ends the answer.
        std::io::stdout().flush().is_ok()
    })
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (Some(question), None) = (words.next(), words.next()) else {
        eprintln!("usage: ask QUESTION");
        return ExitCode::from(2);
    };
    let command = Command::new(question).max_tokens(200).temperature(0.0);
    match ask(&command) {
        Ok(answer) => {
            println!();
            let (tokens, ms) = (answer.tokens, answer.elapsed.as_millis());
            eprintln!("{tokens} tokens in {ms} ms");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
