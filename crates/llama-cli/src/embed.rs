// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llama embed`: texts as vectors, each on a line as it is computed.

use std::ffi::OsStr;
use std::io::BufRead;

use llamux::Session;

use crate::cli::EmbedOptions;
use crate::{ask, output, Exit, Failure};

pub(crate) fn run(options: &EmbedOptions) -> Result<Exit, Failure> {
    let session = match &options.model {
        Some(model) => ask::session_with(model, true)?,
        None => Session::open()?,
    };
    let input = std::io::stdin().lock();
    each(&options.texts, input, |text| {
        let vector = session.embed(text)?;
        output::print(&format!("{vector:?}"))
    })?;
    Ok(Exit::Success)
}

/// Calls `embed` with each text.
fn each(
    texts: &[impl AsRef<OsStr>],
    input: impl BufRead,
    mut embed: impl FnMut(&str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut input = Some(input);
    let mut lines = |embed: &mut dyn FnMut(&str) -> Result<(), Failure>| {
        for line in input.take().into_iter().flat_map(BufRead::lines) {
            let line = line.map_err(|error| Failure::io("standard input", &error))?;
            // Nobody means an empty one.
            if !line.is_empty() {
                embed(&line)?;
            }
        }
        Ok(())
    };
    if texts.is_empty() {
        return lines(&mut embed);
    }
    for text in texts {
        match text.as_ref().to_str() {
            Some("-") => lines(&mut embed)?,
            Some(text) => embed(text)?,
            None => return Err(Failure::usage("a text is not UTF-8")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(arguments: &[&str], input: &[u8]) -> Result<Vec<String>, Exit> {
        let mut texts = Vec::new();
        let each = each(arguments, input, |text| {
            texts.push(text.to_owned());
            Ok(())
        });
        each.map(|()| texts).map_err(|failure| failure.exit)
    }

    #[test]
    fn texts_are_arguments_and_lines() {
        let arguments = texts(&["One.", "Two of them."], b"three\n");
        assert_eq!(arguments.unwrap(), ["One.", "Two of them."]);
        assert_eq!(texts(&[], b"a b\n\nc").unwrap(), ["a b", "c"]);
        let both = texts(&["x", "-", "y", "-"], b"a\nb\n");
        assert_eq!(both.unwrap(), ["x", "a", "b", "y"]);
        assert_eq!(texts(&["-"], b"a\n\xff\n"), Err(Exit::Failure));
    }
}
