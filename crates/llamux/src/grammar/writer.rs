// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! From automata to the table that the kernel takes.

use llamux_engine::grammar::table::{
    bytes, Call, Edge, Header, State, Token, END, MAGIC, MAX_BYTES, MAX_EDGES, MAX_REFERENCES, NOT,
    NO_STATE, VERSION,
};
use llamux_engine::grammar::Grammar;

use super::automaton::Automaton;
use super::parse::TokenName;
use super::GrammarError;

/// Writes the table.
pub(super) fn table(automaton: &Automaton) -> Result<Vec<u8>, GrammarError> {
    let (mut states, mut edges, mut calls) = (vec![], vec![], vec![]);
    let (mut tokens, mut spellings) = (vec![], vec![]);
    // CAST: Here and below, all numbers are within the limits that are checked at the end, or at the
    // numbers' own if not: then nothing is returned.
    for state in &automaton.states {
        states.push(State::new(
            edges.len() as u32,
            calls.len() as u16,
            tokens.len() as u16,
            state.need as u16,
            if state.end { END } else { 0 },
        ));
        for &(first, last, target) in &state.edges {
            edges.push(Edge::new(first, last, target as u16));
        }
        for &(start, behind) in &state.calls {
            let behind = behind.map_or(NO_STATE, |behind| behind as u16);
            calls.push(Call::new(start as u16, behind));
        }
        for (name, not, target) in &state.tokens {
            let flags = if *not { NOT } else { 0 };
            tokens.push(match name {
                TokenName::Id(id) => Token::new(*id, 0, *target as u16, flags),
                TokenName::Spelling(spelling) => {
                    let begin = spellings.len() as u32;
                    spellings.extend(spelling.as_bytes());
                    Token::new(begin, spelling.len() as u16, *target as u16, flags)
                }
            });
        }
    }
    let count = states.len();
    states.push(State::new(
        edges.len() as u32,
        calls.len() as u16,
        tokens.len() as u16,
        0,
        0,
    ));
    let lists = [
        bytes(&states),
        bytes(&edges),
        bytes(&calls),
        bytes(&tokens),
        &spellings,
    ];
    let size = size_of::<Header>() + lists.iter().map(|list| list.len()).sum::<usize>();
    let references = calls.len().max(tokens.len());
    if size > MAX_BYTES || edges.len() > MAX_EDGES || references > MAX_REFERENCES {
        return Err(GrammarError::whole(format!(
            "the grammar is too large: compiled, it has {size} bytes, {} ranges of bytes and \
             {references} references, and may have {MAX_BYTES}, {MAX_EDGES} and {MAX_REFERENCES}",
            edges.len()
        )));
    }
    let header = [
        u32::from_le_bytes(MAGIC),
        VERSION,
        size as u32,
        count as u32,
        edges.len() as u32,
        calls.len() as u32,
        tokens.len() as u32,
        spellings.len() as u32,
        automaton.start as u32,
        0,
    ];
    let mut table: Vec<u8> = header
        .iter()
        .flat_map(|field| field.to_le_bytes())
        .collect();
    lists.iter().for_each(|list| table.extend(*list));
    // What the kernel would refuse is never handed out.
    match Grammar::new(&table) {
        Ok(_) => Ok(table),
        Err(error) => Err(GrammarError::whole(error.to_string())),
    }
}
