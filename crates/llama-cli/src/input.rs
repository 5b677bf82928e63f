// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Puts the question together from words and standard input.

use std::ffi::OsString;
use std::io::Read;

use crate::Failure;

/// The word that stands for standard input.
const STDIN: &str = "-";

/// Joins `words` by blanks. `stdin` is read where a word is `-`, and where there are no words and
/// it is not a terminal; it stands on lines of its own, without its last newline.
///
/// It is not read beside words that do not name it: a program that runs `llama` in a loop would
/// lose its own input, and one that keeps its end of the pipe open would wait for ever.
pub(crate) fn question(
    words: &[OsString],
    stdin: &mut impl Read,
    stdin_is_terminal: bool,
) -> Result<String, Failure> {
    let mut question = String::new();
    let mut after_text = false;
    for word in words {
        let word = word.to_str().ok_or_else(|| {
            Failure::usage(format!("the word {} is not UTF-8", word.to_string_lossy()))
        })?;
        if word == STDIN {
            if !question.is_empty() {
                question.push_str("\n\n");
            }
            read(stdin, &mut question)?;
            after_text = true;
            continue;
        }
        if after_text {
            question.push_str("\n\n");
        } else if !question.is_empty() {
            question.push(' ');
        }
        after_text = false;
        question.push_str(word);
    }
    if words.is_empty() {
        if stdin_is_terminal {
            return Err(Failure::usage(
                "no question (llama --help shows how to ask one)",
            ));
        }
        read(stdin, &mut question)?;
    }
    if question.is_empty() {
        return Err(Failure::usage("the question is empty"));
    }
    Ok(question)
}

/// Appends all of `stdin`, up to a little more than the kernel takes.
fn read(stdin: &mut impl Read, question: &mut String) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    stdin
        .take(llamux::PROMPT_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Failure::io("standard input", &e))?;
    if bytes.len() > llamux::PROMPT_MAX {
        return Err(Failure {
            exit: crate::Exit::Failure,
            message: format!(
                "standard input has more than the {} bytes that the kernel takes",
                llamux::PROMPT_MAX
            ),
        });
    }
    let text = std::str::from_utf8(&bytes).map_err(|e| {
        Failure::usage(format!(
            "standard input is not UTF-8 at byte {}",
            e.valid_up_to()
        ))
    })?;
    question.push_str(text.strip_suffix('\n').unwrap_or(text));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Exit;

    fn ask(words: &[&str], mut stdin: &[u8], terminal: bool) -> Result<String, Exit> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        question(&words, &mut stdin, terminal).map_err(|failure| failure.exit)
    }

    #[test]
    fn words_and_input_are_joined() {
        for (words, stdin, terminal, expected) in [
            (&["a", "b"][..], &b"unread"[..], false, "a b"),
            (&["a b"], b"", true, "a b"),
            (&[], b"x\ny\n", false, "x\ny"),
            (&[], b"x\n\n", false, "x\n"),
            (&["-"], b"x", true, "x"),
            (&["what", "is", "-"], b"x\n", false, "what is\n\nx"),
            (&["-", "is", "what"], b"x\n", false, "x\n\nis what"),
            (&["1", "-", "1"], b"", false, "1\n\n\n\n1"),
        ] {
            let seen = ask(words, stdin, terminal);
            assert_eq!(seen.as_deref(), Ok(expected), "{words:?}");
        }
    }

    #[test]
    fn bad_questions_are_refused() {
        assert_eq!(ask(&[], b"x", true), Err(Exit::Usage));
        assert_eq!(ask(&[], b"\n", false), Err(Exit::Usage));
        assert_eq!(ask(&[""], b"", false), Err(Exit::Usage));
        assert_eq!(ask(&["-"], b"a\xffb", false), Err(Exit::Usage));
        let long = vec![b'x'; llamux::PROMPT_MAX + 1];
        assert_eq!(ask(&[], &long, false), Err(Exit::Failure));
        assert!(ask(&[], &long[1..], false).is_ok());
    }

    #[test]
    fn endless_input_ends() {
        let mut endless = std::io::repeat(b'y');
        assert!(question(&[], &mut endless, false).is_err());
    }
}
