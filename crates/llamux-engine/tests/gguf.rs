// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What the GGUF reader takes and what it refuses. Each refusal breaks one thing of a right file.

mod common;

use common::{GgufBuilder, Meta};
use llamux_engine::error::{Error, Name};
use llamux_engine::gguf::{self, Gguf, Optional, Value, ValueType};

fn good() -> GgufBuilder {
    GgufBuilder::default()
        .key("general.architecture", "llama")
        .key("general.alignment", Meta::U32(64))
        .key("a.u8", Meta::U8(200))
        .key("a.i8", Meta::I8(-2))
        .key("a.u16", Meta::U16(60000))
        .key("a.i16", Meta::I16(-3))
        .key("a.u32", Meta::U32(4_000_000_000))
        .key("a.i32", Meta::I32(-4))
        .key("a.f32", Meta::F32(1.5))
        .key("a.bool", Meta::Bool(1))
        .key("a.u64", Meta::U64(u64::MAX))
        .key("a.i64", Meta::I64(-5))
        .key("a.f64", Meta::F64(-2.5))
        .key("a.i32s", Meta::I32s(vec![1, -1, 7]))
        .key("a.bools", Meta::Bools(vec![0, 1]))
        .key("a.short", strings(3))
        .key("a.long", strings(1000))
        .key("a.longer", strings(2000))
        .key("a.empty", Meta::Strings(vec![]))
        .with_alignment(64)
        .tensor("first", 0, &[4, 2], &[1; 32])
        .tensor("second", 2, &[64, 1], &[2; 36])
        .tensor("third", 1, &[3], &[3; 6])
}

trait WithAlignment {
    fn with_alignment(self, alignment: usize) -> Self;
}

impl WithAlignment for GgufBuilder {
    fn with_alignment(mut self, alignment: usize) -> Self {
        self.alignment = alignment;
        self
    }
}

fn strings(n: usize) -> Meta {
    Meta::Strings((0..n).map(|i| format!("s{i}").into_bytes()).collect())
}

#[track_caller]
fn refused(file: &GgufBuilder) -> Error {
    Gguf::parse(&file.build()).map(|_| ()).unwrap_err()
}

#[test]
fn reads_every_type_of_value() {
    for version in [2, 3] {
        let mut file = good();
        file.version = version;
        let file = file.build();
        let gguf = Gguf::parse(&file).unwrap();
        assert_eq!(gguf.version(), version);
        assert_eq!(gguf.alignment(), 64);
        assert_eq!(gguf.metadata().count(), 19);
        assert_eq!(gguf.str("general.architecture"), Ok("llama"));
        assert!(matches!(gguf.get("a.u8"), Some(Value::U8(200))));
        assert!(matches!(gguf.get("a.i8"), Some(Value::I8(-2))));
        assert!(matches!(gguf.get("a.u16"), Some(Value::U16(60000))));
        assert!(matches!(gguf.get("a.i16"), Some(Value::I16(-3))));
        assert_eq!(gguf.u32("a.u32"), Ok(4_000_000_000));
        assert!(matches!(gguf.get("a.i32"), Some(Value::I32(-4))));
        assert_eq!(gguf.f32_bits("a.f32"), Ok(1.5f32.to_bits()));
        assert_eq!(gguf.bool("a.bool"), Ok(true));
        assert!(matches!(gguf.get("a.u64"), Some(Value::U64(u64::MAX))));
        assert!(matches!(gguf.get("a.i64"), Some(Value::I64(-5))));
        assert!(
            matches!(gguf.get("a.f64"), Some(Value::F64(bits)) if f64::from_bits(bits) == -2.5)
        );
        let words = gguf.array("a.i32s", ValueType::I32).unwrap();
        assert_eq!(words.len(), 3);
        assert_eq!(words.word(1), Some(u32::MAX));
        assert_eq!(words.word(3), None);
        assert!(words.strings().is_none());
        let bools = gguf.array("a.bools", ValueType::Bool).unwrap();
        assert!(matches!(bools.iter().nth(1), Some(Value::Bool(true))));
        for (key, len) in [("a.short", 3), ("a.long", 1000), ("a.longer", 2000)] {
            let array = gguf.array(key, ValueType::String).unwrap();
            let last = array.strings().unwrap().last().unwrap();
            assert_eq!(last, format!("s{}", len - 1).as_bytes());
        }
        assert!(gguf.array("a.empty", ValueType::String).unwrap().is_empty());
    }
}

#[test]
fn reads_tensors_in_place() {
    let file = good().build();
    let gguf = Gguf::parse(&file).unwrap();
    assert_eq!(gguf.tensors().count(), 3);
    let second = gguf.tensor("second").unwrap();
    assert_eq!(second.dimensions(), [64, 1]);
    assert_eq!(second.elements(), 64);
    assert_eq!(second.data(), [2; 36]);
    assert!(file.as_ptr_range().contains(&second.data().as_ptr()));
    assert_eq!(second.type_name(), "q4_0");
    assert_eq!(second.tensor_type(), Ok(llamux_abi::TensorType::Q4_0));
    assert_eq!(second.expect(&[64]), Ok(()));
    assert_eq!(
        second.expect(&[64, 2]),
        Err(Error::Shape {
            tensor: "second".into(),
            dimension: 1,
            value: 1,
            expected: 2
        })
    );
    assert_eq!(gguf.tensor("third").unwrap().data(), [3; 6]);
    assert!(gguf.tensor("fourth").is_none());
}

#[test]
fn lists_types_that_it_does_not_compute_with() {
    // One that ggml has, one that it had, one that nobody has.
    let file = GgufBuilder::default()
        .tensor("a", 16, &[256], &[0; 66])
        .tensor("b", 4, &[32], &[0; 18])
        .tensor("c", 4_000_000_000, &[32], &[])
        .build();
    let gguf = Gguf::parse(&file).unwrap();
    let listed: Vec<_> = gguf
        .tensors()
        .map(|t| (t.type_number(), t.type_name(), t.data().len()))
        .collect();
    assert_eq!(
        listed,
        [(16, "iq2_xxs", 66), (4, "", 0), (4_000_000_000, "", 0)]
    );
    assert_eq!(
        gguf.tensor("a").unwrap().tensor_type(),
        Err(Error::TensorType {
            tensor: "a".into(),
            number: 16,
            type_name: "iq2_xxs"
        })
    );
    assert_eq!(
        gguf.tensor("c").unwrap().tensor_type(),
        Err(Error::TensorType {
            tensor: "c".into(),
            number: 4_000_000_000,
            type_name: ""
        })
    );
}

#[test]
fn reads_a_file_without_tensors() {
    let file = GgufBuilder::default().key("k", "v").build();
    let gguf = Gguf::parse(&file).unwrap();
    assert_eq!(gguf.tensors().count(), 0);
    assert_eq!(gguf.str("k"), Ok("v"));
}

#[test]
fn refuses_what_is_not_gguf() {
    assert!(matches!(Gguf::parse(&[]), Err(Error::EmptyFile)));
    let mut file = good();
    file.magic = *b"GGML";
    assert_eq!(refused(&file), Error::NotGguf { magic: *b"GGML" });
    file.magic = *b"FUGG";
    assert_eq!(refused(&file), Error::WrongEndian);
}

#[test]
fn refuses_other_versions() {
    for version in [0, 1, 4, u32::MAX] {
        let mut file = good();
        file.version = version;
        assert_eq!(refused(&file), Error::Version { version });
    }
    for version in [2u32, 3] {
        let mut file = good();
        file.version = version.swap_bytes();
        assert_eq!(refused(&file), Error::WrongEndian);
    }
}

#[test]
fn refuses_every_truncation() {
    let file = good().build();
    for len in 1..file.len() {
        match Gguf::parse(&file[..len]) {
            Err(Error::Truncated { file, .. } | Error::PastEnd { file, .. }) => {
                assert_eq!(file, len as u64);
            }
            other => panic!("{len}: {:?}", other.map(|_| ())),
        }
    }
}

#[test]
fn refuses_counts_that_are_too_large() {
    for value in [gguf::MAX_TENSORS + 1, u64::MAX] {
        let mut file = good();
        file.tensor_count = Some(value);
        assert_eq!(
            refused(&file),
            Error::Limit {
                what: "number of tensors",
                name: Name::EMPTY,
                value,
                limit: gguf::MAX_TENSORS
            }
        );
    }
    for value in [gguf::MAX_KEYS + 1, 1 << 63] {
        let mut file = good();
        file.key_count = Some(value);
        assert_eq!(
            refused(&file),
            Error::Limit {
                what: "number of keys",
                name: Name::EMPTY,
                value,
                limit: gguf::MAX_KEYS
            }
        );
    }
    let mut file = good();
    file.tensor_count = Some(4);
    assert!(matches!(
        refused(&file),
        Error::Invalid { .. } | Error::Truncated { .. } | Error::Limit { .. }
    ));
}

#[test]
fn refuses_lengths_that_are_too_large() {
    let limit = |what, key: &str, value, limit| Error::Limit {
        what,
        name: key.into(),
        value,
        limit,
    };
    let long_key = "k".repeat(257);
    assert_eq!(
        refused(&good().key(&long_key, Meta::U8(0))),
        limit("length of a key", "", 257, gguf::MAX_KEY)
    );
    for len in [gguf::MAX_STRING + 1, u64::MAX] {
        assert_eq!(
            refused(&good().key("k", Meta::Raw(8, len.to_le_bytes().into()))),
            limit("length of the string", "k", len, gguf::MAX_STRING)
        );
        assert_eq!(
            refused(&good().key("k", Meta::Array(8, 1, len.to_le_bytes().into()))),
            limit("length of a string", "k", len, gguf::MAX_STRING)
        );
    }
    for (element, len) in [
        (0, gguf::MAX_ARRAY + 1),
        (12, u64::MAX),
        (8, u64::MAX / 8 + 1),
    ] {
        assert_eq!(
            refused(&good().key("k", Meta::Array(element, len, vec![]))),
            limit("length of the array", "k", len, gguf::MAX_ARRAY)
        );
    }
    let many = (0..=gguf::MAX_STRING_ARRAYS).fold(GgufBuilder::default(), |file, i| {
        file.key(&format!("k{i}"), strings(65))
    });
    assert_eq!(
        refused(&many),
        limit("number of long arrays of strings", "k16", 17, 16)
    );
}

#[test]
fn refuses_arrays_that_pass_the_end() {
    let mut file = GgufBuilder::default().key("k", Meta::Array(10, 1000, vec![0; 16]));
    assert_eq!(
        refused(&file),
        Error::Truncated {
            field: "k".into(),
            offset: 24 + 9 + 16,
            need: 8000,
            file: 24 + 9 + 16 + 16
        }
    );
    file.keys[0].1 = Meta::Array(8, 3, vec![0; 16]);
    assert!(matches!(refused(&file), Error::Truncated { .. }));
}

#[test]
fn refuses_values_of_unknown_types() {
    for number in [13, u32::MAX] {
        let error = Error::Invalid {
            what: "type of the value",
            name: "k".into(),
            value: number.into(),
            expected: "0 to 12",
        };
        let file = good().key("k", Meta::Raw(number, vec![0; 8]));
        assert_eq!(refused(&file), error);
        let file = good().key("k", Meta::Array(number, 1, vec![0; 8]));
        assert_eq!(refused(&file), error);
    }
    let file = good().key("k", Meta::Array(9, 1, vec![0; 12]));
    assert_eq!(
        refused(&file),
        Error::Unsupported {
            what: "array of arrays",
            name: "k".into()
        }
    );
}

#[test]
fn refuses_bools_that_are_neither() {
    let error = Error::Invalid {
        what: "bool",
        name: "k".into(),
        value: 2,
        expected: "0 or 1",
    };
    assert_eq!(refused(&good().key("k", Meta::Bool(2))), error);
    assert_eq!(refused(&good().key("k", Meta::Bools(vec![0, 1, 2]))), error);
}

#[test]
fn refuses_duplicates() {
    let duplicate = |what, name: &str| Error::Duplicate {
        what,
        name: name.into(),
    };
    assert_eq!(
        refused(&good().key("a.u8", Meta::U8(0))),
        duplicate("key", "a.u8")
    );
    assert_eq!(
        refused(&good().tensor("first", 0, &[1], &[0; 4])),
        duplicate("tensor", "first")
    );
}

#[test]
fn refuses_wrong_alignments() {
    for alignment in [0, 1, 4, 24, 48, 1 << 17, 1 << 31, u32::MAX] {
        let file = good().set("general.alignment", Some(Meta::U32(alignment)));
        assert_eq!(
            refused(&file),
            Error::Invalid {
                what: "alignment",
                name: "general.alignment".into(),
                value: alignment.into(),
                expected: "a power of two from 8 to 65536"
            }
        );
    }
    let file = good().set("general.alignment", Some(Meta::U64(64)));
    assert_eq!(
        refused(&file),
        Error::KeyType {
            key: "general.alignment".into(),
            found: "u64",
            wanted: "u32"
        }
    );
}

#[test]
fn refuses_wrong_dimensions() {
    for rank in [0, 5, u32::MAX] {
        let mut file = good();
        file.tensors[1].rank = Some(rank);
        assert_eq!(
            refused(&file),
            Error::Invalid {
                what: "number of dimensions",
                name: "second".into(),
                value: rank.into(),
                expected: "1 to 4"
            }
        );
    }
    let mut file = good();
    file.tensors[1].dimensions = vec![64, 0];
    assert_eq!(
        refused(&file),
        Error::Invalid {
            what: "a dimension",
            name: "second".into(),
            value: 0,
            expected: "at least 1"
        }
    );
    // Negative when signed.
    for value in [1 << 63, u64::MAX] {
        file.tensors[1].dimensions = vec![64, value];
        assert_eq!(
            refused(&file),
            Error::Limit {
                what: "a dimension",
                name: "second".into(),
                value,
                limit: gguf::MAX_DIMENSION
            }
        );
    }
    // The number of elements, then the number of bytes.
    for dimensions in [vec![1 << 33, 1 << 33], vec![1 << 31, 1 << 31]] {
        file.tensors[1].type_number = 28;
        file.tensors[1].dimensions = dimensions;
        assert_eq!(
            refused(&file),
            Error::Overflow {
                tensor: "second".into()
            }
        );
    }
}

#[test]
fn refuses_rows_that_are_no_blocks() {
    let mut file = good();
    file.tensors[1].dimensions = vec![33, 1];
    assert_eq!(
        refused(&file),
        Error::Invalid {
            what: "length of a row",
            name: "second".into(),
            value: 33,
            expected: "a multiple of the block of its type"
        }
    );
}

#[test]
fn refuses_wrong_offsets() {
    let mut file = good();
    file.tensors[1].offset = 65;
    assert_eq!(
        refused(&file),
        Error::Misaligned {
            tensor: "second".into(),
            offset: 65,
            alignment: 64
        }
    );
    file.tensors[1].offset = 0;
    assert_eq!(
        refused(&file),
        Error::Overlap {
            tensor: "second".into(),
            offset: 0,
            end: 32
        }
    );
    let mut file = good();
    for offset in [192, 1 << 62, u64::MAX - 63] {
        file.tensors[2].offset = offset;
        assert!(matches!(
            refused(&file),
            Error::PastEnd { tensor, bytes: 6, .. } if tensor == "third".into()
        ));
    }
    let mut file = good();
    file.data.pop();
    assert!(matches!(refused(&file), Error::PastEnd { tensor, .. } if tensor == "third".into()));
    // A type whose size is not known still lies in the file.
    file = good();
    file.tensors[2].type_number = 99;
    file.tensors[2].offset = 1 << 40;
    assert!(matches!(refused(&file), Error::PastEnd { .. }));
}

#[test]
fn refuses_long_names_of_tensors() {
    let mut file = good();
    file.tensors[0].name = vec![b'n'; 65];
    assert_eq!(
        refused(&file),
        Error::Limit {
            what: "length of a tensor's name",
            name: Name::EMPTY,
            value: 65,
            limit: 64
        }
    );
}

#[test]
fn getters_say_what_is_wrong() {
    let file = good()
        .key("bytes", Meta::String(b"ab\xff".to_vec()))
        .build();
    let gguf = Gguf::parse(&file).unwrap();
    let missing = Error::Missing {
        what: "key",
        name: "nope".into(),
    };
    assert_eq!(gguf.u32("nope"), Err(missing));
    assert_eq!(gguf.u32("nope").optional(), Ok(None));
    assert_eq!(gguf.u32("a.u32").optional(), Ok(Some(4_000_000_000)));
    let mistyped = Error::KeyType {
        key: "a.i32".into(),
        found: "i32",
        wanted: "u32",
    };
    assert_eq!(gguf.u32("a.i32"), Err(mistyped));
    assert_eq!(gguf.u32("a.i32").optional(), Err(mistyped));
    assert!(matches!(gguf.f32_bits("a.f64"), Err(Error::KeyType { .. })));
    assert!(matches!(gguf.bool("a.u8"), Err(Error::KeyType { .. })));
    assert!(matches!(gguf.str("a.short"), Err(Error::KeyType { .. })));
    assert!(matches!(
        gguf.array("a.i32s", ValueType::F32).map(|_| ()),
        Err(Error::KeyType {
            found: "array of i32",
            wanted: "array of f32",
            ..
        })
    ));
    assert!(matches!(
        gguf.str("bytes"),
        Err(Error::Invalid { value: 2, .. })
    ));
}

#[test]
fn reads_real_files() {
    for (model, tensors) in [("smollm2-135m.gguf", 272), ("qwen2.5-coder-1.5b.gguf", 339)] {
        let Some(path) = common::find("LLAMUX_MODELS", ".cache/llamux/models", model) else {
            continue;
        };
        let file = common::map(&path);
        let gguf = Gguf::parse(&file).unwrap();
        assert_eq!(gguf.tensors().count(), tensors);
        for tensor in gguf.tensors() {
            tensor.tensor_type().unwrap();
        }
    }
}

/// A model in three files. The second has no tensors, and the third another alignment.
fn split() -> [GgufBuilder; 3] {
    let part = |number, file: GgufBuilder| {
        file.key("split.no", Meta::U16(number))
            .key("split.count", Meta::U16(3))
            .key("split.tensors.count", Meta::I32(3))
    };
    [
        part(0, GgufBuilder::default().key("general.name", "Split"))
            .tensor("first", 0, &[4, 2], &[1; 32])
            .tensor("second", 0, &[2], &[2; 8]),
        part(1, GgufBuilder::default()),
        part(
            2,
            GgufBuilder::default().key("general.alignment", Meta::U32(64)),
        )
        .with_alignment(64)
        .tensor("third", 1, &[3], &[3; 6]),
    ]
}

fn parse_split<T>(parts: &[GgufBuilder], test: impl FnOnce(&Gguf<'_>) -> T) -> Result<T, Error> {
    let files: Vec<_> = parts.iter().map(GgufBuilder::build).collect();
    let files: Vec<_> = files.iter().map(|file| &file[..]).collect();
    Gguf::parse_split(&files).map(|gguf| test(&gguf))
}

#[test]
fn reads_a_model_that_is_split() {
    parse_split(&split(), |gguf| {
        let tensors: Vec<_> = gguf
            .tensors()
            .map(|tensor| (tensor.name(), tensor.part(), tensor.data()))
            .collect();
        assert_eq!(
            tensors,
            [
                (&b"first"[..], 0, &[1; 32][..]),
                (b"second", 0, &[2; 8]),
                (b"third", 2, &[3; 6])
            ]
        );
        assert_eq!(gguf.tensor("third").unwrap().dimensions(), [3]);
        assert_eq!(gguf.str("general.name"), Ok("Split"));
        assert_eq!(gguf.parts().iter().count(), 3);
        assert!(gguf.parts().get(2).is_some() && gguf.parts().get(3).is_none());
        let third = gguf.tensor("third").unwrap().data().as_ptr_range();
        let file = gguf.parts().get(2).unwrap().as_ptr_range();
        assert!(file.start < third.start && third.end <= file.end);
        // The first part has the longest head; what is behind it are weights alone.
        let first = gguf.tensor("first").unwrap().data().as_ptr() as u64;
        let begin = gguf.parts().get(0).unwrap().as_ptr() as u64;
        assert_eq!(gguf.head_bytes(), Ok(first - begin));
    })
    .unwrap();
    // One file is a model too, be it marked as the only part or not.
    let whole = [good()];
    parse_split(&whole, |gguf| assert_eq!(gguf.tensors().count(), 3)).unwrap();
    let only = [good()
        .key("split.no", Meta::U16(0))
        .key("split.count", Meta::U16(1))];
    parse_split(&only, |gguf| assert_eq!(gguf.tensors().count(), 3)).unwrap();
}

#[test]
fn refuses_parts_that_do_not_belong_together() {
    let refused = |parts: &[GgufBuilder]| parse_split(parts, |_| ()).unwrap_err();
    let part = |part, key, value, expected| Error::Part {
        part,
        key,
        value,
        expected,
    };
    let [first, second, third] = split();
    let set = |file: &GgufBuilder, key: &str, value| file.clone().set(key, value);
    assert_eq!(refused(&[]), Error::EmptyFile);
    // Missing ones.
    let alone = Gguf::parse(&first.build()).map(|_| ()).unwrap_err();
    assert_eq!(alone, part(1, "split.count", 3, 1));
    assert_eq!(
        alone.to_string(),
        "file 1 of the model: split.count is 3, expected 1"
    );
    assert_eq!(
        refused(&[first.clone(), second.clone()]),
        part(1, "split.count", 3, 2)
    );
    // The wrong order.
    assert_eq!(
        refused(&[first.clone(), third.clone(), second.clone()]),
        part(2, "split.no", 2, 1)
    );
    assert_eq!(
        refused(&[third.clone(), second.clone(), first.clone()]),
        part(1, "split.no", 2, 0)
    );
    // One of another model.
    let other = set(&second, "split.count", Some(Meta::U16(4)));
    assert_eq!(
        refused(&[first.clone(), other, third.clone()]),
        part(2, "split.count", 4, 3)
    );
    // Too many.
    let whole = [good(), third.clone()];
    assert_eq!(refused(&whole), part(1, "split.count", 1, 2));
    let many = vec![first.clone(); gguf::MAX_PARTS + 1];
    assert!(matches!(
        refused(&many),
        Error::Limit { what: "number of parts", value, .. } if value == many.len() as u64
    ));
    // No part at all.
    for key in ["split.no", "split.count"] {
        let unmarked = set(&second, key, None);
        assert_eq!(
            refused(&[first.clone(), unmarked, third.clone()]),
            Error::Missing {
                what: "key",
                name: key.into()
            }
        );
    }
    let damaged = [first.clone(), second.clone(), {
        let mut damaged = third.clone();
        damaged.magic = *b"GGML";
        damaged
    }];
    assert!(matches!(refused(&damaged), Error::NotGguf { .. }));
}

#[test]
fn refuses_parts_whose_tensors_contradict() {
    let refused = |parts: &[GgufBuilder]| parse_split(parts, |_| ()).unwrap_err();
    let [first, second, third] = split();
    let twice = second.clone().tensor("first", 0, &[1], &[0; 4]);
    assert_eq!(
        refused(&[first.clone(), twice, third.clone()]),
        Error::Duplicate {
            what: "tensor",
            name: "first".into()
        }
    );
    let more = second.clone().tensor("fourth", 0, &[1], &[0; 4]);
    assert!(matches!(
        refused(&[first.clone(), more, third.clone()]),
        Error::Invalid {
            what: "number of tensors in all parts",
            value: 4,
            ..
        }
    ));
    let negative = first
        .clone()
        .set("split.tensors.count", Some(Meta::I32(-1)));
    assert!(matches!(
        refused(&[negative, second.clone(), third.clone()]),
        Error::Invalid {
            what: "number of tensors in all parts",
            value: 3,
            ..
        }
    ));
    let uncounted = first.clone().set("split.tensors.count", None);
    assert_eq!(
        refused(&[uncounted, second.clone(), third.clone()]),
        Error::Missing {
            what: "key",
            name: "split.tensors.count".into()
        }
    );
    // Those of each file lie in it.
    let mut cut = third.clone();
    cut.data.truncate(5);
    assert!(matches!(
        refused(&[first.clone(), second.clone(), cut]),
        Error::PastEnd { tensor, .. } if tensor == "third".into()
    ));
    // What describes the model is in the first.
    let array = second.clone().key("tokens", strings(1));
    assert!(matches!(
        refused(&[first.clone(), array, third.clone()]),
        Error::Unsupported { name, .. } if name == "tokens".into()
    ));
    let mut keys = second.clone();
    for i in 0..62 {
        keys = keys.key(&format!("key.{i}"), Meta::U8(0));
    }
    assert!(matches!(
        refused(&[first, keys, third]),
        Error::Limit { value: 65, .. }
    ));
}
