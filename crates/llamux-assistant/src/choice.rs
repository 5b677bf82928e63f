// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Choices: an answer that is one of the texts of a list, and no other.

use llamux::grammar::literal;
use llamux::{Error, Grammar};

use crate::{Model, Request};

/// A grammar of these texts and no others. None if there are none, or too many for the kernel.
pub fn one_of<'t>(texts: impl IntoIterator<Item = &'t str>) -> Option<Grammar> {
    let texts: Vec<_> = texts.into_iter().map(literal).collect();
    if texts.is_empty() {
        return None;
    }
    Grammar::new(&format!("root ::= {}", texts.join(" | "))).ok()
}

/// Has the model choose one of the texts, and returns its place; `None` if there are none to choose from, or
/// the time was up.
pub fn choose(
    model: &mut dyn Model,
    request: Request,
    texts: &[&str],
) -> Result<Option<usize>, Error> {
    let Some(grammar) = one_of(texts.iter().copied()) else {
        return Ok(None);
    };
    let request = Request {
        grammar: Some(grammar),
        ..request
    };
    let reply = model.ask(&request, &mut |_| true)?;
    Ok(texts.iter().position(|text| *text == reply.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_can_be_chosen() {
        for text in [
            "plain",
            "two words",
            "\"quoted\" \\ [a-z]",
            "a\nb\tc\0",
            "日本 ü 🦙",
        ] {
            assert!(
                one_of([text, "other"]).is_some(),
                "{text:?}: {}",
                literal(text)
            );
        }
        assert!(one_of([]).is_none());
    }
}
