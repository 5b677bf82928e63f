// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Conversations turn by turn: the same tokens and answers as in one piece, what the cache has of them, what
//! is dropped, and how likely the tokens were.

mod common;

use common::{kernels, options, tiny, Aligned, CONTEXT};
use llamux_engine::chat::{Conversation, Message, Role};
use llamux_engine::generate::{Full, Outcome, Request, Sampling, Sink, Stop};
use llamux_engine::turn::{millionths, Begun, Turn};
use llamux_engine::{Engine, Error, Plan, MAX_INSTRUCTIONS};
use llamux_host::pool::Pool;

const OWNER: u64 = 1000;

fn with_engine<T>(test: impl FnOnce(&mut Engine<'_>, &Pool) -> T) -> T {
    let bytes = tiny().build();
    let file = Aligned::new(&bytes);
    let options = options();
    let plan = Plan::new(file.bytes(), &options).unwrap();
    let mut arena = vec![0; plan.arena_bytes()];
    let pool = Pool::new(1).unwrap();
    let mut engine = Engine::load(file.bytes(), &mut arena, &options, kernels(), &pool).unwrap();
    test(&mut engine, &pool)
}

fn request(max_tokens: u32) -> Request<'static> {
    Request {
        max_tokens,
        sampling: Sampling::GREEDY,
        ..Request::default()
    }
}

fn user(text: &str) -> Message<'_> {
    let role = Role::User;
    Message { role, text }
}

fn system(text: &str) -> Message<'_> {
    let role = Role::System;
    Message { role, text }
}

#[derive(Default)]
struct Answer {
    tokens: Vec<u32>,
    likelihoods: Vec<u64>,
}

impl Sink for Answer {
    fn text(&mut self, _text: &str) -> bool {
        true
    }

    fn stop(&mut self) -> bool {
        false
    }

    fn token(&mut self, id: u32) {
        self.tokens.push(id);
    }

    fn likelihood(&mut self, bits: u64) {
        assert_eq!(
            self.likelihoods.len(),
            self.tokens.len(),
            "before the token"
        );
        self.likelihoods.push(bits);
    }
}

/// A conversation, as a caller holds it.
#[derive(Clone, Default)]
struct Talk {
    tokens: Vec<u32>,
    state: Conversation,
    keep: u32,
}

impl Talk {
    fn begin(
        &self,
        engine: &mut Engine<'_>,
        messages: &[Message<'_>],
        request: &Request<'_>,
        answer: bool,
    ) -> Result<Begun, Error> {
        let turn = Turn {
            before: &self.tokens,
            state: self.state,
            keep: self.keep,
            messages,
            answer,
        };
        engine.submit_turn(&turn, request, OWNER, &mut || false)
    }

    fn say(
        &mut self,
        (engine, pool): (&mut Engine<'_>, &Pool),
        messages: &[Message<'_>],
        request: &Request<'_>,
    ) -> (Answer, Outcome) {
        let begun = self.begin(engine, messages, request, true).unwrap();
        let prompt = engine.sequence_of(begun.id).len();
        let mut sink = Answer::default();
        let outcome = engine.finish(begun.id, pool, &mut sink).unwrap();
        self.tokens = engine.sequence_of(begun.id).to_vec();
        let mut said = &sink.tokens[..];
        match outcome.stop {
            Stop::Length => self.tokens.extend(said.last()),
            // There is no room for the last one.
            Stop::Context => said = &said[..said.len() - 1],
            _ => (),
        }
        assert_eq!(self.tokens[prompt..], *said);
        (self.state, self.keep) = (begun.state, begun.keep);
        (sink, outcome)
    }
}

#[test]
fn a_turn_is_what_it_is_in_one_piece_and_the_cache_has_the_others() {
    with_engine(|engine, pool| {
        let mut talk = Talk::default();
        talk.say((engine, pool), &[user("ab")], &request(70));
        let before = talk.tokens.len();
        let (answer, outcome) = talk.say((engine, pool), &[user("ba")], &request(8));
        // All but the last token of the answer was computed.
        assert!(outcome.cached_tokens as usize + 1 >= before, "{outcome:?}");

        let tokens = talk.tokens[..outcome.prompt_tokens as usize].to_vec();
        engine.forget();
        let id = engine.submit_tokens(&tokens, &request(8), OWNER).unwrap();
        let mut whole = Answer::default();
        let outcome = engine.finish(id, pool, &mut whole).unwrap();
        assert_eq!(whole.tokens, answer.tokens);
        assert!(outcome.cached_tokens < 64, "{outcome:?}");
    });
}

#[test]
fn a_copy_goes_on_by_itself_and_from_the_same_blocks() {
    with_engine(|engine, pool| {
        let mut talk = Talk::default();
        talk.say((engine, pool), &[user("ab")], &request(70));
        let mut fork = talk.clone();
        let (one, _) = talk.say((engine, pool), &[user("b")], &request(8));
        let (_, outcome) = fork.say((engine, pool), &[user("aab")], &request(8));
        assert!(outcome.cached_tokens >= 70, "{outcome:?}");
        let mut again = fork.clone();
        again.say((engine, pool), &[user("x")], &request(8));
        // The first one is where it was.
        assert!(talk.tokens.ends_with(&one.tokens));
    });
}

#[test]
fn instructions_are_what_a_system_prompt_in_front_would_be() {
    with_engine(|engine, pool| {
        let mut told = Talk::default();
        let messages = [system("a b a b"), user("ab")];
        let (expected, _) = told.say((engine, pool), &messages, &request(5));
        let mut plain = Talk::default();
        plain.say((engine, pool), &[user("ab")], &request(5));
        assert_ne!(plain.tokens, told.tokens);

        assert_eq!(engine.set_instructions("a b a b"), Ok(true));
        assert_eq!(engine.set_instructions("a b a b"), Ok(false));
        let before = engine.prewarm(pool).unwrap();
        engine.forget();
        assert_eq!(engine.prewarm(pool), Ok(before));
        let mut talk = Talk::default();
        let (answer, outcome) = talk.say((engine, pool), &[user("ab")], &request(5));
        assert_eq!(talk.tokens, told.tokens);
        assert_eq!(answer.tokens, expected.tokens);
        assert_eq!(outcome.cached_tokens, before);
        // Up to the token that ends the system prompt, which the format has a line feed behind.
        assert_eq!(talk.keep, told.keep - 1);
        // Those of a conversation come first, and one that has begun goes on.
        let mut own = Talk::default();
        own.say((engine, pool), &[system("b"), user("ab")], &request(5));
        assert_ne!(own.tokens, told.tokens);
        assert_eq!(engine.set_instructions(""), Ok(true));
        talk.say((engine, pool), &[user("b")], &request(5));
        assert!(talk.tokens.starts_with(&told.tokens));

        let mut again = Talk::default();
        again.say((engine, pool), &[user("ab")], &request(5));
        assert_eq!(again.tokens, plain.tokens);
        let long = "a".repeat(MAX_INSTRUCTIONS + 1);
        let need = long.len() as u64;
        let have = MAX_INSTRUCTIONS as u64;
        let error = engine.set_instructions(&long);
        assert_eq!(error, Err(Error::PromptLength { need, have }));
    });
}

#[test]
fn a_system_prompt_stays_when_the_oldest_turns_go() {
    with_engine(|engine, pool| {
        let mut talk = Talk::default();
        let messages = [system("a b a b"), user("ab")];
        let dropping = Request {
            full: Full::DropOldest,
            ..request(90)
        };
        talk.say((engine, pool), &messages, &dropping);
        assert!(talk.keep > 4);
        let kept = talk.tokens[..talk.keep as usize].to_vec();
        let mut dropped = 0;
        for _ in 0..12 {
            let before = talk.tokens.len();
            talk.say((engine, pool), &[user("ab")], &dropping);
            assert!(talk.tokens.starts_with(&kept));
            assert!(talk.tokens.len() <= CONTEXT as usize);
            dropped += usize::from(talk.tokens.len() <= before);
        }
        assert!(dropped > 0);
    });
}

#[test]
fn a_full_context_is_an_error_where_nothing_may_be_dropped() {
    with_engine(|engine, pool| {
        let mut talk = Talk::default();
        let error = loop {
            match talk.begin(engine, &[user("ab")], &request(90), true) {
                Err(error) => break error,
                Ok(begun) => {
                    // Ended, so that the next one may begin.
                    engine
                        .finish(begun.id, pool, &mut Answer::default())
                        .unwrap();
                }
            }
            talk.say((engine, pool), &[user("ab")], &request(90));
        };
        let Error::Context { need, have } = error else {
            panic!("{error}");
        };
        assert!(need > have && have == u64::from(CONTEXT));
        assert_eq!(engine.active(), 0);
    });
}

#[test]
fn texts_of_raw_turns_continue_each_other() {
    with_engine(|engine, pool| {
        let raw = Request {
            raw: true,
            ..request(4)
        };
        let mut talk = Talk::default();
        talk.say((engine, pool), &[user("ab")], &raw);
        let before = talk.tokens.clone();
        talk.say((engine, pool), &[user("ab"), user("a")], &raw);
        let mut expected = vec![0; 16];
        let mut scratch = vec![0; 4096];
        let vocab = engine.vocab();
        let count = vocab.encode_behind("ab", &mut scratch, &mut expected);
        expected.truncate(count.unwrap());
        assert!(talk.tokens.starts_with(&before));
        assert!(talk.tokens[before.len()..].starts_with(&expected));
    });
}

#[test]
fn a_turn_without_an_answer_is_computed_ahead() {
    with_engine(|engine, pool| {
        let mut talk = Talk::default();
        let begun = talk
            .begin(engine, &[system("abababab")], &request(0), false)
            .unwrap();
        let mut sink = Answer::default();
        let outcome = engine.finish(begun.id, pool, &mut sink).unwrap();
        assert_eq!((outcome.stop, outcome.tokens), (Stop::Length, 0));
        talk.tokens = engine.sequence_of(begun.id).to_vec();
        (talk.state, talk.keep) = (begun.state, begun.keep);
        let computed = talk.tokens.len();
        let (_, outcome) = talk.say((engine, pool), &[user("ab")], &request(4));
        assert_eq!(outcome.cached_tokens as usize, computed);

        let mut once = Talk::default();
        once.say(
            (engine, pool),
            &[system("abababab"), user("ab")],
            &request(4),
        );
        assert_eq!(once.tokens, talk.tokens);
        assert_eq!(once.keep, talk.keep);
    });
}

#[test]
fn likelihoods_are_the_models_own() {
    with_engine(|engine, pool| {
        let requests = [
            request(20),
            Request {
                sampling: Sampling {
                    repeat_penalty_milli: 1300,
                    seed: 7,
                    ..Sampling::default()
                },
                ..request(20)
            },
        ];
        for request in requests {
            let request = Request {
                likelihoods: true,
                ..request
            };
            let mut talk = Talk::default();
            let (answer, outcome) = talk.say((engine, pool), &[user("ab")], &request);
            assert_eq!(answer.likelihoods.len(), answer.tokens.len());
            let mut expected = vec![];
            engine
                .likelihoods(&talk.tokens, pool, |bits| expected.push(bits))
                .unwrap();
            let expected = &expected[outcome.prompt_tokens as usize - 1..];
            assert_eq!(expected.len(), answer.tokens.len());
            for (one, two) in answer.likelihoods.iter().zip(expected) {
                // Computed one at a time, and all together.
                let difference = millionths(*one).abs_diff(millionths(*two));
                assert!(difference < 20_000, "{difference}");
            }
        }
    });
}

#[test]
fn a_token_that_is_none_is_refused() {
    with_engine(|engine, _| {
        let talk = Talk {
            tokens: vec![1 << 30],
            ..Talk::default()
        };
        let error = talk.begin(engine, &[user("a")], &request(1), true);
        assert!(matches!(error, Err(Error::Token { id, .. }) if id == 1 << 30));
        let nothing = Talk::default().begin(engine, &[], &request(1), false);
        assert!(matches!(nothing, Err(Error::EmptyPrompt)));
    });
}
