// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Answers that keep to a grammar, by a model with made-up weights and by real ones where they are.

mod common;
#[path = "../../llamux/tests/rules/mod.rs"]
mod rules;

use common::gguf::GgufBuilder;
use common::{gguf, kernels, options, tiny, tiny_pieces, Aligned, Collector};
use llamux::Grammar;
use llamux_engine::arena::Arena;
use llamux_engine::generate::{Full, Outcome, Request, Sampling, Sink, Stop};
use llamux_engine::gguf::Gguf;
use llamux_engine::grammar::{self, Constraint, Guide, Matcher, MatcherMemory, Places};
use llamux_engine::scheduler::{Audience, SlotId};
use llamux_engine::tokenizer::Vocab;
use llamux_engine::{Engine, Error, Options, Plan};
use llamux_host::pool::Pool;
use rules::Random;

/// Whether a text is in a grammar, by other means than that grammar.
type Check = fn(&str) -> bool;

const JSON: &str = include_str!("../../llamux/examples/json.gbnf");
const CHOICES: &str = include_str!("../../llamux/examples/choices.gbnf");

const GRAMMARS: [(&str, Check); 6] = [
    (JSON, |text| {
        serde_json::from_str::<serde_json::Value>(text).is_ok_and(|value| value.is_object())
    }),
    (CHOICES, |text| {
        ["restart", "reload", "ignore", "ask for more"].contains(&text)
    }),
    ("root ::= [0-9]{3} \"-\" [0-9]{4}", |text| {
        let digits =
            |part: &str, len| part.len() == len && part.bytes().all(|b| b.is_ascii_digit());
        text.split_once('-')
            .is_some_and(|(a, b)| digits(a, 3) && digits(b, 4))
    }),
    ("root ::= (\"é漢\" | \"he\" | [x-z])+ \".\"", |text| {
        let rest = text.replace("é漢", "").replace("he", "");
        text.len() > 1
            && rest
                .strip_suffix('.')
                .is_some_and(|rest| rest.bytes().all(|b| matches!(b, b'x'..=b'z')))
    }),
    ("root ::= \"(\" root \")\" | [a-z]", |text| {
        let depth = text.len() / 2;
        let middle = text.get(depth..depth + 1);
        middle.is_some_and(|c| c.bytes().all(|b| b.is_ascii_lowercase()))
            && text.starts_with(&"(".repeat(depth))
            && text.ends_with(&")".repeat(depth))
            && text.len() % 2 == 1
    }),
    (
        "root ::= \"The state is: \" (\"running\" | \"stopped\") \".\"",
        |text| ["The state is: running.", "The state is: stopped."].contains(&text),
    ),
];

fn ask(
    engine: &mut Engine<'_>,
    pool: &Pool,
    request: &Request<'_>,
) -> Result<(Collector, Outcome), Error> {
    let mut sink = Collector::default();
    let outcome = engine.generate(request, pool, &mut sink)?;
    assert_eq!(outcome.tokens as usize, sink.tokens.len());
    Ok((sink, outcome))
}

fn sampling(seed: u64) -> Sampling {
    match seed % 3 {
        0 => Sampling::GREEDY,
        1 => Sampling {
            seed,
            ..Sampling::default()
        },
        _ => Sampling {
            seed,
            temperature_milli: 2000,
            top_k: 0,
            top_p_milli: 1000,
            min_p_milli: 0,
            repeat_penalty_milli: 1100,
        },
    }
}

/// Asks with every grammar and several ways to sample, and returns how many answers were complete.
fn check_all(engine: &mut Engine<'_>, pool: &Pool, prompt: &str, seeds: u64) -> usize {
    let mut complete = 0;
    for (gbnf, check) in GRAMMARS {
        let grammar = Grammar::new(gbnf).unwrap();
        for seed in 0..seeds {
            let request = Request {
                prompt,
                raw: true,
                max_tokens: 60,
                sampling: sampling(seed),
                constraint: constraint(&grammar, seed % 2 == 0),
                ..Request::default()
            };
            let (sink, outcome) = ask(engine, pool, &request).unwrap();
            match outcome.stop {
                Stop::End => {
                    assert!(check(&sink.text), "{:?} in {gbnf}", sink.text);
                    complete += 1;
                }
                Stop::Length => assert_eq!(outcome.tokens, 60),
                other => panic!("{other:?}"),
            }
        }
    }
    complete
}

fn with_tiny(test: impl FnOnce(&mut Engine<'_>, &Pool)) {
    with_sequences(1, test);
}

fn with_sequences(sequences: u32, test: impl FnOnce(&mut Engine<'_>, &Pool)) {
    with_file(&tiny(), sequences, test);
}

fn with_file(file: &GgufBuilder, sequences: u32, test: impl FnOnce(&mut Engine<'_>, &Pool)) {
    let options = Options {
        sequences,
        ..options()
    };
    let file = Aligned::new(&file.build());
    let plan = Plan::new(file.bytes(), &options).unwrap();
    let mut arena = vec![0xa5; plan.arena_bytes()];
    let pool = Pool::new(1).unwrap();
    let mut engine = Engine::load(file.bytes(), &mut arena, &options, kernels(), &pool).unwrap();
    test(&mut engine, &pool);
}

fn constraint(grammar: &Grammar, forced: bool) -> Option<Constraint<'_>> {
    let grammar = grammar::Grammar::new(grammar.table()).unwrap();
    Some(Constraint { grammar, forced })
}

/// All who asked.
struct Crowd<'a> {
    requests: Vec<Request<'a>>,
    sinks: Vec<Collector>,
    ends: Vec<Option<Result<Outcome, Error>>>,
}

impl<'a> Crowd<'a> {
    /// Asks everything at once.
    fn ask(requests: Vec<Request<'a>>, engine: &mut Engine<'_>, pool: &Pool) -> Self {
        let mut crowd = Self {
            sinks: requests.iter().map(|_| Collector::default()).collect(),
            ends: vec![None; requests.len()],
            requests,
        };
        for (index, request) in crowd.requests.iter().enumerate() {
            assert_eq!(engine.submit(request, 1).unwrap().index(), index);
        }
        while engine.step(pool, &mut crowd) {}
        crowd
    }
}

impl Audience for Crowd<'_> {
    fn sink(&mut self, id: SlotId) -> Option<&mut dyn Sink> {
        Some(&mut self.sinks[id.index()])
    }

    fn constrained(&mut self, id: SlotId) -> Option<(&mut dyn Sink, Option<Constraint<'_>>)> {
        let constraint = self.requests[id.index()].constraint;
        Some((&mut self.sinks[id.index()], constraint))
    }

    fn done(&mut self, id: SlotId, end: Result<Outcome, Error>) {
        assert!(self.ends[id.index()].replace(end).is_none(), "once");
    }
}

fn with_model(name: &str, test: impl FnOnce(&mut Engine<'_>, &Pool)) {
    let Some(path) = gguf::find("LLAMUX_MODELS", ".cache/llamux/models", name) else {
        return;
    };
    let options = Options {
        context: 512,
        prompt_bytes: 4096,
        ..Options::default()
    };
    let file = gguf::map(&path);
    let plan = Plan::new(&file, &options).unwrap();
    let mut arena = vec![0; plan.arena_bytes()];
    let pool = Pool::new(2).unwrap();
    let mut engine = Engine::load(&file, &mut arena, &options, kernels(), &pool).unwrap();
    test(&mut engine, &pool);
}

#[test]
fn a_made_up_model_keeps_to_any_grammar() {
    with_tiny(|engine, pool| {
        let complete = check_all(engine, pool, "hello", 12);
        assert!(complete >= 40, "{complete}");
    });
}

#[test]
fn real_models_keep_to_any_grammar() {
    with_model("smollm2-135m.gguf", |engine, pool| {
        let complete = check_all(engine, pool, "The answer, as was asked for:\n", 2);
        assert!(complete >= 8, "{complete}");
    });
}

/// Asks with grammars that are made up, each with several seeds. Returns how many answers were
/// complete.
fn check_made_up(engine: &mut Engine<'_>, pool: &Pool, grammars: u64, max_tokens: u32) -> usize {
    let (mut complete, mut stuck) = (0, 0);
    for seed in 0..grammars {
        let rules = rules::random_rules(&mut Random(seed));
        let gbnf = rules::show(&rules);
        let grammar = Grammar::new(&gbnf).unwrap();
        for seed in [seed, seed + 1, seed + 5] {
            let request = Request {
                prompt: "A text of letters: ",
                raw: true,
                max_tokens,
                sampling: sampling(seed),
                constraint: constraint(&grammar, seed % 2 == 0),
                ..Request::default()
            };
            let mut sink = Collector::default();
            let end = engine.generate(&request, pool, &mut sink);
            let (is_whole, is_begun) = rules::compare(&rules, &sink.text);
            let context = || format!("{end:?} {:?}, seed {seed}\n{gbnf}", sink.text);
            match end.map(|outcome| outcome.stop) {
                Ok(Stop::End) => {
                    assert!(is_whole, "{}", context());
                    complete += 1;
                }
                Ok(Stop::Length) => assert!(is_begun, "{}", context()),
                // There is more to keep in mind than there is room for: many ways to read what is
                // nested deeply.
                Err(Error::GrammarStuck) => {
                    assert!(is_begun, "{}", context());
                    stuck += 1;
                }
                _ => panic!("{}", context()),
            }
        }
    }
    assert!(stuck <= grammars / 50, "{stuck} stuck");
    complete
}

#[test]
fn a_made_up_model_keeps_to_made_up_grammars() {
    with_file(&tiny_pieces(), 1, |engine, pool| {
        let complete = check_made_up(engine, pool, 150, 60);
        assert!(complete >= 200, "{complete}");
    });
}

#[test]
fn real_models_keep_to_made_up_grammars() {
    with_model("smollm2-135m.gguf", |engine, pool| {
        let complete = check_made_up(engine, pool, 25, 12);
        assert!(complete >= 30, "{complete}");
    });
}

/// What is chosen, compared with the tokens in the order of their logits that a mask leaves.
fn check_choices(
    gguf: &Gguf<'_>,
    engine: &mut Engine<'_>,
    pool: &Pool,
    prompt: &str,
    (widths, max_tokens): (&[u32], u32),
) {
    let (tokens, bytes) = Vocab::texts(gguf).unwrap();
    let mut counting = Arena::counting();
    MatcherMemory::lay_out(tokens, bytes, &mut counting).unwrap();
    Places::lay_out(1, &mut counting).unwrap();
    let mut memory = vec![0; counting.needed()];
    let mut arena = Arena::new(&mut memory);
    let matcher = MatcherMemory::lay_out(tokens, bytes, &mut arena).unwrap();
    let mut places = Places::lay_out(1, &mut arena).unwrap();
    let mut matcher = Matcher::load(engine.vocab(), matcher).unwrap();
    let mut place = places.get(0).unwrap();
    let mut ids = [0; 100];
    let count = engine.tokenize(prompt, &mut ids).unwrap();

    // Some allow most tokens, some few, some those that the model would not choose.
    for gbnf in [
        "root ::= .*",
        "root ::= [^a-z]*",
        "root ::= [a-z]*",
        "root ::= ([b-df-h] [aeiou] [k-n]? \" \"?)*",
        "root ::= (\"é漢\" | \"he\" | [x-z])* \".\"",
        "root ::= \"(\" root \")\" | [a-z]*",
    ] {
        let grammar = Grammar::new(gbnf).unwrap();
        let grammar = grammar::Grammar::new(grammar.table()).unwrap();
        for &top_k in widths {
            let request = Request {
                prompt,
                raw: true,
                max_tokens,
                sampling: Sampling {
                    seed: top_k.into(),
                    temperature_milli: if top_k == 1 { 0 } else { 3000 },
                    top_k,
                    top_p_milli: 1000,
                    min_p_milli: 0,
                    repeat_penalty_milli: 1000,
                },
                constraint: Some(Constraint {
                    grammar,
                    forced: false,
                }),
                ..Request::default()
            };
            let (sink, _) = ask(engine, pool, &request).unwrap();
            engine.clear();
            let mut logits = engine.extend(&ids[..count], pool).unwrap().to_vec();
            matcher.start(&grammar, &mut place).unwrap();
            for &id in &sink.tokens {
                let mut guide = Guide::new(&grammar, engine.vocab(), &mut matcher, &mut place);
                guide.mask(&mut logits, &mut || false).unwrap();
                guide.accept(id).unwrap();
                let logit = |id: usize| f32::from_bits(logits[id].0);
                let chosen = logit(id as usize);
                let all = (0..logits.len()).map(logit);
                // The same sums may have been added in another order.
                let better = all.filter(|&logit| logit > chosen + 1e-3).count();
                assert!(
                    better < top_k as usize,
                    "{better} of {top_k} are better than {id} in {gbnf}"
                );
                logits = engine.extend(&[id], pool).unwrap().to_vec();
            }
        }
    }
}

#[test]
fn the_likeliest_that_are_allowed_are_chosen() {
    let file = tiny_pieces().build();
    with_file(&tiny_pieces(), 1, |engine, pool| {
        let gguf = Gguf::parse(&file).unwrap();
        check_choices(&gguf, engine, pool, "abc", (&[1, 5, 40, 64], 12));
    });
    if let Some(path) = gguf::find("LLAMUX_MODELS", ".cache/llamux/models", "smollm2-135m.gguf") {
        let file = gguf::map(&path);
        with_model("smollm2-135m.gguf", |engine, pool| {
            let gguf = Gguf::parse(&file).unwrap();
            check_choices(&gguf, engine, pool, "A list of cities:", (&[1, 40], 6));
        });
    }
}

#[test]
fn a_grammar_of_everything_changes_nothing() {
    let test = |engine: &mut Engine<'_>, pool: &Pool| {
        let grammar = Grammar::new("root ::= .*").unwrap();
        // Where all candidates are kept, those that are not text count as well.
        for seed in [0, 1, 4, 7] {
            let mut request = Request {
                prompt: "A list of cities:",
                raw: true,
                max_tokens: 30,
                sampling: sampling(seed),
                ..Request::default()
            };
            let (free, _) = ask(engine, pool, &request).unwrap();
            request.constraint = constraint(&grammar, true);
            let (bound, _) = ask(engine, pool, &request).unwrap();
            // Up to where a character is not UTF-8, which no grammar has.
            let whole = free.text.split('\u{fffd}').next().unwrap_or("");
            assert!(
                bound.text.starts_with(whole),
                "{:?} {:?}",
                bound.text,
                free.text
            );
            if whole == free.text {
                assert_eq!(bound.tokens, free.tokens, "seed {seed}");
            }
        }
    };
    with_model("smollm2-135m.gguf", test);
}

#[test]
fn allowed_tokens_are_drawn_as_often_as_they_are_likely() {
    with_tiny(|engine, pool| {
        let prompt = "hello";
        let grammar = Grammar::new("root ::= [xyz]").unwrap();
        let mut ids = [0; 10];
        let count = engine.tokenize(prompt, &mut ids).unwrap();
        engine.clear();
        let logits = engine.extend(&ids[..count], pool).unwrap().to_vec();
        let weights = ["x", "y", "z"].map(|text| {
            let id = engine.vocab().find(text).unwrap();
            f32::from_bits(logits[id as usize].0).exp()
        });
        let total: f32 = weights.iter().sum();
        let mut counts = [0; 3];
        const DRAWS: u16 = 3000;
        for seed in 0..DRAWS {
            let request = Request {
                prompt,
                raw: true,
                max_tokens: 5,
                sampling: Sampling {
                    seed: seed.into(),
                    temperature_milli: 1000,
                    top_k: 40,
                    top_p_milli: 1000,
                    min_p_milli: 0,
                    repeat_penalty_milli: 1000,
                },
                constraint: constraint(&grammar, true),
                ..Request::default()
            };
            let (sink, outcome) = ask(engine, pool, &request).unwrap();
            assert_eq!((outcome.stop, outcome.tokens), (Stop::End, 1));
            counts[usize::from(sink.text.as_bytes()[0] - b'x')] += 1u16;
        }
        for (count, weight) in counts.into_iter().zip(weights) {
            let share = f32::from(count) / f32::from(DRAWS);
            assert!(
                (share - weight / total).abs() < 0.03,
                "{counts:?} {weights:?}"
            );
        }
    });
}

#[test]
fn forced_tokens_are_computed_in_one_batch() {
    for file in [tiny(), tiny_pieces()] {
        with_file(&file, 1, forced_tokens_in_one_batch);
    }
}

fn forced_tokens_in_one_batch(engine: &mut Engine<'_>, pool: &Pool) {
    let grammar = Grammar::new("root ::= \"hello hello hello hello hello hello\"").unwrap();
    let mut asked = vec![];
    for forced in [false, true] {
        let request = Request {
            prompt: "hello",
            raw: true,
            max_tokens: 60,
            sampling: Sampling::GREEDY,
            constraint: constraint(&grammar, forced),
            ..Request::default()
        };
        let (sink, outcome) = ask(engine, pool, &request).unwrap();
        assert_eq!(sink.text, "hello hello hello hello hello hello");
        assert_eq!(outcome.stop, Stop::End);
        asked.push(sink.asked);
    }
    // All of it is known before anything is computed: only whether it is wanted is asked.
    assert!(asked[1] == 1 && asked[0] > 100, "{asked:?}");
}

#[test]
fn each_answer_keeps_to_its_own_grammar() {
    with_sequences(5, |engine, pool| {
        let grammars = GRAMMARS.map(|(gbnf, _)| Grammar::new(gbnf).unwrap());
        let mut complete = 0;
        for seed in 0..6 {
            let request = |index: usize| Request {
                prompt: "hello",
                raw: true,
                max_tokens: 60,
                sampling: sampling(seed + index as u64),
                // The last one is free.
                constraint: grammars[..4]
                    .get(index)
                    .and_then(|grammar| constraint(grammar, (seed + index as u64) % 2 == 0)),
                ..Request::default()
            };
            let crowd = Crowd::ask((0..5).map(request).collect(), engine, pool);
            let answers = crowd.sinks.iter().zip(crowd.ends).take(4);
            for ((sink, end), (gbnf, check)) in answers.zip(GRAMMARS) {
                let outcome = end.unwrap().unwrap();
                assert_eq!(outcome.tokens as usize, sink.tokens.len());
                if outcome.stop == Stop::End {
                    assert!(check(&sink.text), "{:?} in {gbnf}", sink.text);
                    complete += 1;
                }
            }
        }
        assert!(complete >= 12, "{complete}");
    });
}

#[test]
fn two_are_answered_as_each_alone() {
    with_sequences(2, |engine, pool| {
        let [json, state] = [JSON, GRAMMARS[5].0].map(|gbnf| Grammar::new(gbnf).unwrap());
        for seed in 0..6 {
            let request = |grammar| Request {
                prompt: "hello",
                raw: true,
                max_tokens: 60,
                sampling: sampling(seed),
                constraint: grammar,
                ..Request::default()
            };
            let requests = [
                (None, constraint(&json, true)),
                (constraint(&state, true), constraint(&json, seed < 3)),
            ];
            for (a, b) in requests {
                let requests = vec![request(a), request(b)];
                let alone: Vec<_> = requests
                    .iter()
                    .map(|request| ask(engine, pool, request).unwrap().0.tokens)
                    .collect();
                let crowd = Crowd::ask(requests, engine, pool);
                let together: Vec<_> = crowd.sinks.into_iter().map(|sink| sink.tokens).collect();
                assert_eq!(together, alone, "seed {seed}");
            }
        }
    });
}

#[test]
fn guesses_change_no_choice() {
    with_tiny(|engine, pool| {
        let prompt = "hello abc, whole he ll abc; ".repeat(4);
        // It repeats itself, with a choice at times, and what is forced behind that.
        let repeated = Grammar::new("root ::= (\"ab\" [c-d] \", hello \" [x-y])+").unwrap();
        let any = Grammar::new("root ::= [a-z, ]+").unwrap();
        let mut accepted = [0; 4];
        for seed in 0..9 {
            for (index, grammar) in [&repeated, &any, &repeated, &any].into_iter().enumerate() {
                let request = Request {
                    prompt: &prompt,
                    raw: true,
                    max_tokens: 150,
                    sampling: Sampling {
                        temperature_milli: 100 * (seed as u32 % 3),
                        ..sampling(seed)
                    },
                    constraint: constraint(grammar, index < 2),
                    ..Request::default()
                };
                engine.set_speculation(false);
                let (without, _) = ask(engine, pool, &request).unwrap();
                engine.set_speculation(true);
                let (with, outcome) = ask(engine, pool, &request).unwrap();
                assert_eq!(with.tokens, without.tokens, "seed {seed}, case {index}");
                accepted[index] += outcome.accepted_tokens;
            }
        }
        assert!(accepted.iter().sum::<u32>() > 100, "{accepted:?}");
        assert!(accepted[0] > 0 && accepted[2] > 0, "{accepted:?}");
    });
}

#[test]
fn what_is_forced_may_outgrow_the_context() {
    with_tiny(|engine, pool| {
        let grammar = Grammar::new("root ::= \"hello whole \"{1000}").unwrap();
        for forced in [false, true] {
            let request = Request {
                prompt: "hello",
                raw: true,
                max_tokens: 3 * common::CONTEXT,
                sampling: Sampling::GREEDY,
                full: Full::DropOldest,
                constraint: constraint(&grammar, forced),
                ..Request::default()
            };
            let (sink, outcome) = ask(engine, pool, &request).unwrap();
            assert_eq!(
                (outcome.stop, outcome.tokens),
                (Stop::Length, 3 * common::CONTEXT)
            );
            assert!("hello whole ".repeat(1000).starts_with(&sink.text));
        }
    });
}

#[test]
fn who_does_not_offer_the_grammar_again_gets_no_other_answer() {
    with_tiny(|engine, pool| {
        let grammar = Grammar::new(CHOICES).unwrap();
        for forced in [false, true] {
            let request = Request {
                prompt: "hello",
                raw: true,
                max_tokens: 10,
                constraint: constraint(&grammar, forced),
                ..Request::default()
            };
            let id = engine.submit(&request, 1).unwrap();
            let mut sink = Collector::default();
            let end = engine.finish(id, pool, &mut sink);
            assert_eq!(end, Err(Error::Operation("constraint")));
            assert_eq!(sink.text, "");
        }
    });
}

#[test]
fn an_answer_is_cut_by_its_limits_within_the_grammar() {
    with_tiny(|engine, pool| {
        let grammar = Grammar::new("root ::= \"ab\"{1000}").unwrap();
        for forced in [false, true] {
            for max_tokens in [0, 1, 7, 100] {
                let request = Request {
                    prompt: "hello",
                    raw: true,
                    max_tokens,
                    sampling: Sampling::GREEDY,
                    constraint: constraint(&grammar, forced),
                    ..Request::default()
                };
                let (sink, outcome) = ask(engine, pool, &request).unwrap();
                assert_eq!((outcome.stop, outcome.tokens), (Stop::Length, max_tokens));
                assert!("ab".repeat(1000).starts_with(&sink.text));
            }
            let request = Request {
                prompt: "hello",
                raw: true,
                max_tokens: u32::MAX,
                sampling: Sampling::GREEDY,
                constraint: constraint(&grammar, forced),
                ..Request::default()
            };
            let (_, outcome) = ask(engine, pool, &request).unwrap();
            assert_eq!(outcome.stop, Stop::Context);
            let most = common::CONTEXT - outcome.prompt_tokens + 1;
            assert_eq!(outcome.tokens, most);
        }
    });
}

#[test]
fn a_grammar_that_the_vocabulary_can_not_write_is_an_error() {
    with_tiny(|engine, pool| {
        let grammar = Grammar::new("root ::= \"100\" [$%]").unwrap();
        let request = Request {
            prompt: "hello",
            raw: true,
            max_tokens: 10,
            sampling: Sampling::GREEDY,
            constraint: constraint(&grammar, true),
            ..Request::default()
        };
        assert_eq!(ask(engine, pool, &request).err(), Some(Error::GrammarStuck));
    });
}
