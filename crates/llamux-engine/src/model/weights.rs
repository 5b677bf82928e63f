// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The weights of a model, in place: where each tensor is, and that it has the shape that the
//! hyper-parameters demand.

use llamux_abi as abi;
use zerocopy::FromBytes;

use super::architecture::Presence;
use super::hyper::Hyper;
use crate::arena::Arena;
use crate::error::{Error, Name};
use crate::gguf::{self, Gguf, Tensor};
use crate::math::{F32Bits, Matrix};
use crate::size;

/// What a tensor holds, which decides its shape.
#[derive(Clone, Copy)]
enum Shape {
    /// A vector of floats.
    Vector(fn(&Hyper) -> u32),
    /// Rows and columns, of any type.
    Matrix(fn(&Hyper) -> u32, fn(&Hyper) -> u32),
    /// The same for each expert.
    Experts(fn(&Hyper) -> u32, fn(&Hyper) -> u32),
}

/// A tensor that a model has.
struct Role {
    name: &'static str,
    shape: Shape,
    presence: fn(&Hyper) -> Presence,
}

const fn role(name: &'static str, shape: Shape, presence: fn(&Hyper) -> Presence) -> Role {
    Role {
        name,
        shape,
        presence,
    }
}

fn embedding(hyper: &Hyper) -> u32 {
    hyper.embedding
}

fn feed_forward(hyper: &Hyper) -> u32 {
    hyper.feed_forward
}

fn vocabulary(hyper: &Hyper) -> u32 {
    hyper.vocabulary
}

fn rope_pairs(hyper: &Hyper) -> u32 {
    hyper.rope_pairs
}

fn head_dim(hyper: &Hyper) -> u32 {
    hyper.head_dim
}

fn experts(hyper: &Hyper) -> u32 {
    hyper.experts
}

fn always(_: &Hyper) -> Presence {
    Presence::Required
}

fn maybe(_: &Hyper) -> Presence {
    Presence::Optional
}

fn qkv_bias(hyper: &Hyper) -> Presence {
    hyper.architecture.qkv_bias
}

fn inner_bias(hyper: &Hyper) -> Presence {
    hyper.architecture.inner_bias
}

fn output_bias(hyper: &Hyper) -> Presence {
    hyper.architecture.output_bias
}

fn rope_factors(hyper: &Hyper) -> Presence {
    hyper.architecture.rope_factors
}

fn exactly_if(condition: bool) -> Presence {
    if condition {
        Presence::Required
    } else {
        Presence::Absent
    }
}

fn head_norms(hyper: &Hyper) -> Presence {
    exactly_if(hyper.architecture.head_norms)
}

fn post_norms(hyper: &Hyper) -> Presence {
    exactly_if(hyper.architecture.post_norms)
}

fn dense(hyper: &Hyper) -> Presence {
    exactly_if(hyper.experts == 0)
}

fn dense_bias(hyper: &Hyper) -> Presence {
    match dense(hyper) {
        Presence::Absent => Presence::Absent,
        _ => inner_bias(hyper),
    }
}

fn mixture(hyper: &Hyper) -> Presence {
    exactly_if(hyper.experts != 0)
}

/// The tensors of the model itself, in the order of [`Global`].
static GLOBALS: [Role; 5] = [
    role(
        "token_embd.weight",
        Shape::Matrix(vocabulary, embedding),
        always,
    ),
    role("output_norm.weight", Shape::Vector(embedding), always),
    // Without it, the embedding table serves for the output too.
    role("output.weight", Shape::Matrix(vocabulary, embedding), maybe),
    role("output.bias", Shape::Vector(vocabulary), output_bias),
    role("rope_freqs.weight", Shape::Vector(rope_pairs), rope_factors),
];

#[derive(Clone, Copy)]
enum Global {
    Embedding,
    OutputNorm,
    Output,
    OutputBias,
    RopeFactors,
}

/// The tensors of a layer, in the order of [`Part`]; their names begin with `blk.` and its number.
static PARTS: [Role; 24] = [
    role("attn_norm.weight", Shape::Vector(embedding), always),
    role(
        "attn_q.weight",
        Shape::Matrix(Hyper::query, embedding),
        always,
    ),
    role(
        "attn_k.weight",
        Shape::Matrix(Hyper::key_value, embedding),
        always,
    ),
    role(
        "attn_v.weight",
        Shape::Matrix(Hyper::key_value, embedding),
        always,
    ),
    role("attn_q.bias", Shape::Vector(Hyper::query), qkv_bias),
    role("attn_k.bias", Shape::Vector(Hyper::key_value), qkv_bias),
    role("attn_v.bias", Shape::Vector(Hyper::key_value), qkv_bias),
    role(
        "attn_output.weight",
        Shape::Matrix(embedding, Hyper::query),
        always,
    ),
    role("attn_output.bias", Shape::Vector(embedding), inner_bias),
    role("attn_q_norm.weight", Shape::Vector(head_dim), head_norms),
    role("attn_k_norm.weight", Shape::Vector(head_dim), head_norms),
    role(
        "post_attention_norm.weight",
        Shape::Vector(embedding),
        post_norms,
    ),
    role("ffn_norm.weight", Shape::Vector(embedding), always),
    role(
        "ffn_gate.weight",
        Shape::Matrix(feed_forward, embedding),
        dense,
    ),
    role(
        "ffn_up.weight",
        Shape::Matrix(feed_forward, embedding),
        dense,
    ),
    role(
        "ffn_down.weight",
        Shape::Matrix(embedding, feed_forward),
        dense,
    ),
    role("ffn_gate.bias", Shape::Vector(feed_forward), dense_bias),
    role("ffn_up.bias", Shape::Vector(feed_forward), dense_bias),
    role("ffn_down.bias", Shape::Vector(embedding), dense_bias),
    role("post_ffw_norm.weight", Shape::Vector(embedding), post_norms),
    role(
        "ffn_gate_inp.weight",
        Shape::Matrix(experts, embedding),
        mixture,
    ),
    role(
        "ffn_gate_exps.weight",
        Shape::Experts(feed_forward, embedding),
        mixture,
    ),
    role(
        "ffn_up_exps.weight",
        Shape::Experts(feed_forward, embedding),
        mixture,
    ),
    role(
        "ffn_down_exps.weight",
        Shape::Experts(embedding, feed_forward),
        mixture,
    ),
];

#[derive(Clone, Copy)]
enum Part {
    AttentionNorm,
    Query,
    Key,
    Value,
    QueryBias,
    KeyBias,
    ValueBias,
    AttentionOutput,
    AttentionOutputBias,
    QueryNorm,
    KeyNorm,
    AttentionPostNorm,
    FeedForwardNorm,
    Gate,
    Up,
    Down,
    GateBias,
    UpBias,
    DownBias,
    FeedForwardPostNorm,
    Router,
    GateExperts,
    UpExperts,
    DownExperts,
}

/// Where a tensor is: offset in its file, bytes, and its type's number, with the file's above it. No
/// bytes for none.
type Place = [u64; 3];

const NOWHERE: Place = [0; 3];

/// The places of a layer's tensors.
type Places = [Place; PARTS.len()];

/// The largest rows that are multiplied in each layout of activations; 0 for none.
#[derive(Clone, Copy, Default)]
pub(super) struct Layouts {
    /// For [`abi::Activation::Q16x32`].
    pub(super) q16x32: u32,
    /// For [`abi::Activation::Q8x256`].
    pub(super) q8x256: u32,
}

impl Layouts {
    /// Takes in a matrix that will be multiplied with.
    fn add(&mut self, matrix: &Matrix<'_>) {
        let widest = match matrix.activation() {
            abi::Activation::F32 => return,
            abi::Activation::Q16x32 => &mut self.q16x32,
            abi::Activation::Q8x256 => &mut self.q8x256,
        };
        *widest = (*widest).max(matrix.columns());
    }
}

/// What is known of all tensors together.
#[derive(Clone, Copy, Default)]
pub struct Totals {
    /// Number of weights.
    pub parameters: u64,
    /// Bytes of the tensors.
    pub bytes: u64,
}

/// All weights.
pub(super) struct Weights<'a> {
    files: gguf::Parts<'a>,
    hyper: Hyper,
    globals: [Place; GLOBALS.len()],
    layers: &'a [Places],
    /// The layouts of activations that the model needs.
    pub(super) layouts: Layouts,
    /// Numbers for people.
    pub(super) totals: Totals,
}

/// The weights of one layer.
pub(super) struct Layer<'a> {
    /// `(embedding)`.
    pub(super) attention_norm: &'a [F32Bits],
    /// `(heads * head_dim, embedding)`.
    pub(super) query: Linear<'a>,
    /// `(kv_heads * head_dim, embedding)`.
    pub(super) key: Linear<'a>,
    /// `(kv_heads * head_dim, embedding)`.
    pub(super) value: Linear<'a>,
    /// `(embedding, heads * head_dim)`.
    pub(super) attention_output: Linear<'a>,
    /// `(head_dim)` each, for the queries and the keys.
    pub(super) head_norms: Option<(&'a [F32Bits], &'a [F32Bits])>,
    /// `(embedding)`.
    pub(super) attention_post_norm: Option<&'a [F32Bits]>,
    /// `(embedding)`.
    pub(super) feed_forward_norm: &'a [F32Bits],
    /// What comes behind that norm.
    pub(super) feed_forward: FeedForward<'a>,
    /// `(embedding)`.
    pub(super) feed_forward_post_norm: Option<&'a [F32Bits]>,
}

/// The weights of a layer's feed-forward part.
pub(super) enum FeedForward<'a> {
    /// One for all tokens.
    Dense {
        /// `(feed_forward, embedding)`.
        gate: Linear<'a>,
        /// `(feed_forward, embedding)`.
        up: Linear<'a>,
        /// `(embedding, feed_forward)`.
        down: Linear<'a>,
    },
    /// Several, of which each token chooses some.
    Experts(Experts<'a>),
}

/// The weights of experts, and of who chooses among them.
#[derive(Clone, Copy)]
pub(super) struct Experts<'a> {
    /// `(experts, embedding)`.
    pub(super) router: Linear<'a>,
    /// `(experts, feed_forward, embedding)`.
    pub(super) gate: Matrix<'a>,
    /// `(experts, feed_forward, embedding)`.
    pub(super) up: Matrix<'a>,
    /// `(experts, embedding, feed_forward)`.
    pub(super) down: Matrix<'a>,
}

/// A matrix and what is added to its product.
#[derive(Clone, Copy)]
pub(super) struct Linear<'a> {
    /// The matrix.
    pub(super) weights: Matrix<'a>,
    /// `(weights.rows())`.
    pub(super) bias: Option<&'a [F32Bits]>,
}

impl<'a> Weights<'a> {
    /// Finds and checks all tensors. With an arena that only counts, the tensors that are missing
    /// go unnoticed.
    pub(super) fn read(
        gguf: &Gguf<'a>,
        hyper: &Hyper,
        arena: &mut Arena<'a>,
    ) -> Result<Self, Error> {
        let layers = arena.slice::<Places>(size(hyper.layers))?;
        layers.fill([NOWHERE; PARTS.len()]);
        let mut weights = Self {
            files: gguf.parts(),
            hyper: *hyper,
            globals: [NOWHERE; GLOBALS.len()],
            layers: &[],
            layouts: Layouts::default(),
            totals: Totals::default(),
        };
        for tensor in gguf.tensors() {
            let (layer, index) = find(&tensor, hyper)?;
            let roles: &[Role] = if layer.is_some() { &PARTS } else { &GLOBALS };
            let role = roles.get(index).ok_or(Error::Operation("find"))?;
            let place = place(gguf, &tensor)?;
            match role.shape {
                Shape::Vector(len) => {
                    tensor.expect(&[len(hyper).into()])?;
                    weights
                        .vector(&place)
                        .map_err(|_| wrong_vector(gguf, &tensor))?;
                }
                Shape::Matrix(rows, columns) => {
                    tensor.expect(&[columns(hyper).into(), rows(hyper).into()])?;
                    let matrix = weights.matrix(&place, rows(hyper), columns(hyper))?;
                    weights.layouts.add(&matrix);
                }
                Shape::Experts(rows, columns) => {
                    let (rows, columns) = (rows(hyper), columns(hyper));
                    tensor.expect(&[columns.into(), rows.into(), hyper.experts.into()])?;
                    let matrix = weights.experts(&place, rows, columns)?;
                    weights.layouts.add(&matrix);
                }
            }
            let places: Option<&mut [Place]> = match layer {
                None => Some(&mut weights.globals),
                Some(layer) => layers.get_mut(size(layer)).map(|places| &mut places[..]),
            };
            if let Some(entry) = places.and_then(|places| places.get_mut(index)) {
                *entry = place;
            }
            let totals = &mut weights.totals;
            totals.parameters = totals.parameters.saturating_add(tensor.elements());
            // CAST: `usize` is at most 64 bits wide.
            totals.bytes = totals.bytes.saturating_add(tensor.data().len() as u64);
        }
        if !arena.is_counting() {
            check_present(&GLOBALS, &weights.globals, hyper, |name| name.into())?;
            for (i, layer) in layers.iter().enumerate() {
                check_present(&PARTS, layer, hyper, |name| {
                    Name::format(format_args!("blk.{i}.{name}"))
                })?;
            }
        }
        weights.layers = layers;
        Ok(weights)
    }

    /// The embedding table, `(vocabulary, embedding)`.
    pub(super) fn embedding(&self) -> Result<Matrix<'a>, Error> {
        self.vocabulary_matrix(Global::Embedding)
    }

    /// The output matrix, `(vocabulary, embedding)`.
    pub(super) fn output(&self) -> Result<Linear<'a>, Error> {
        let separate = self.global(Global::Output) != NOWHERE;
        Ok(Linear {
            weights: self.vocabulary_matrix(if separate {
                Global::Output
            } else {
                Global::Embedding
            })?,
            bias: self.optional_vector(&self.global(Global::OutputBias))?,
        })
    }

    /// The norm in front of the output, `(embedding)`.
    pub(super) fn output_norm(&self) -> Result<&'a [F32Bits], Error> {
        self.vector(&self.global(Global::OutputNorm))
    }

    /// What the rotary frequencies are divided by, `(rope_pairs)`.
    pub(super) fn rope_factors(&self) -> Result<Option<&'a [F32Bits]>, Error> {
        self.optional_vector(&self.global(Global::RopeFactors))
    }

    /// The weights of a layer.
    pub(super) fn layer(&self, index: u32) -> Result<Layer<'a>, Error> {
        let places = self
            .layers
            .get(size(index))
            .ok_or(Error::Operation("layer"))?;
        let at = |part: Part| places.get(part as usize).copied().unwrap_or(NOWHERE);
        let hyper = &self.hyper;
        let linear = |part: Part, bias: Option<Part>, rows, columns| {
            Ok::<_, Error>(Linear {
                weights: self.matrix(&at(part), rows, columns)?,
                bias: self.optional_vector(&bias.map_or(NOWHERE, at))?,
            })
        };
        let (embedding, hidden) = (hyper.embedding, hyper.feed_forward);
        let (query, key_value) = (hyper.query(), hyper.key_value());
        let norm = |part: Part| self.optional_vector(&at(part));
        let feed_forward = if hyper.experts == 0 {
            FeedForward::Dense {
                gate: linear(Part::Gate, Some(Part::GateBias), hidden, embedding)?,
                up: linear(Part::Up, Some(Part::UpBias), hidden, embedding)?,
                down: linear(Part::Down, Some(Part::DownBias), embedding, hidden)?,
            }
        } else {
            FeedForward::Experts(Experts {
                router: linear(Part::Router, None, hyper.experts, embedding)?,
                gate: self.experts(&at(Part::GateExperts), hidden, embedding)?,
                up: self.experts(&at(Part::UpExperts), hidden, embedding)?,
                down: self.experts(&at(Part::DownExperts), embedding, hidden)?,
            })
        };
        Ok(Layer {
            attention_norm: self.vector(&at(Part::AttentionNorm))?,
            query: linear(Part::Query, Some(Part::QueryBias), query, embedding)?,
            key: linear(Part::Key, Some(Part::KeyBias), key_value, embedding)?,
            value: linear(Part::Value, Some(Part::ValueBias), key_value, embedding)?,
            attention_output: linear(
                Part::AttentionOutput,
                Some(Part::AttentionOutputBias),
                embedding,
                query,
            )?,
            head_norms: norm(Part::QueryNorm)?.zip(norm(Part::KeyNorm)?),
            attention_post_norm: norm(Part::AttentionPostNorm)?,
            feed_forward_norm: self.vector(&at(Part::FeedForwardNorm))?,
            feed_forward,
            feed_forward_post_norm: norm(Part::FeedForwardPostNorm)?,
        })
    }

    fn global(&self, global: Global) -> Place {
        let place = self.globals.get(global as usize);
        place.copied().unwrap_or(NOWHERE)
    }

    fn vocabulary_matrix(&self, global: Global) -> Result<Matrix<'a>, Error> {
        let hyper = &self.hyper;
        self.matrix(&self.global(global), hyper.vocabulary, hyper.embedding)
    }

    fn bytes(&self, place: &Place) -> Option<(&'a [u8], abi::TensorType)> {
        let &[offset, bytes, file] = place;
        let (file, number) = (file >> 32, file & u64::from(u32::MAX));
        let file = self.files.get(usize::try_from(file).ok()?)?;
        let begin = usize::try_from(offset).ok()?;
        let end = begin.checked_add(usize::try_from(bytes).ok()?)?;
        let mut types = abi::BLOCKS.iter().map(|block| block.tensor_type);
        // CAST: The discriminants are the numbers of `enum ggml_type`.
        let tensor_type = types.find(|&t| u64::from(t as u32) == number)?;
        Some((file.get(begin..end)?, tensor_type))
    }

    fn matrix(&self, place: &Place, rows: u32, columns: u32) -> Result<Matrix<'a>, Error> {
        self.bytes(place)
            .and_then(|(data, tensor_type)| Matrix::new(data, tensor_type, rows, columns))
            .ok_or(Error::Operation("matrix"))
    }

    /// The matrices of all experts, one below the other.
    fn experts(&self, place: &Place, rows: u32, columns: u32) -> Result<Matrix<'a>, Error> {
        let rows = rows.checked_mul(self.hyper.experts);
        self.matrix(place, rows.ok_or(Error::Operation("experts"))?, columns)
    }

    fn vector(&self, place: &Place) -> Result<&'a [F32Bits], Error> {
        self.bytes(place)
            .filter(|&(_, tensor_type)| tensor_type == abi::TensorType::F32)
            .and_then(|(data, _)| <[F32Bits]>::ref_from_bytes(data).ok())
            .ok_or(Error::Operation("vector"))
    }

    fn optional_vector(&self, place: &Place) -> Result<Option<&'a [F32Bits]>, Error> {
        (*place != NOWHERE).then(|| self.vector(place)).transpose()
    }
}

/// The layer, and the index of the tensor in `PARTS` or `GLOBALS`. A tensor that nothing here would
/// use is refused: the answers would not be the model's.
fn find(tensor: &Tensor<'_>, hyper: &Hyper) -> Result<(Option<u32>, usize), Error> {
    let found = core::str::from_utf8(tensor.name()).ok().and_then(|name| {
        let position = |roles: &[Role], name| {
            let used = |role: &Role| (role.presence)(hyper) != Presence::Absent;
            roles
                .iter()
                .position(|role| role.name == name && used(role))
        };
        match name.strip_prefix("blk.") {
            None => Some((None, position(&GLOBALS, name)?)),
            Some(rest) => {
                let (number, name) = rest.split_once('.')?;
                let layer: u32 = number.parse().ok()?;
                // One spelling a layer, so that no two tensors have the same place.
                let plain = number == "0" || number.starts_with(|c| matches!(c, '1'..='9'));
                let known = plain && layer < hyper.layers;
                known.then_some((Some(layer), position(&PARTS, name)?))
            }
        }
    });
    found.ok_or(Error::Unsupported {
        what: "tensor",
        name: tensor.label(),
    })
}

fn place(gguf: &Gguf<'_>, tensor: &Tensor<'_>) -> Result<Place, Error> {
    let number = tensor.tensor_type()? as u32;
    let data = tensor.data();
    let file = gguf.parts().get(tensor.part());
    // Both are addresses in the same file, the data inside of it.
    let offset = file.and_then(|file| data.as_ptr().addr().checked_sub(file.as_ptr().addr()));
    let offset = offset.ok_or(Error::Operation("place"))?;
    // CAST: `usize` is at most 64 bits wide.
    let file = (tensor.part() as u64) << 32 | u64::from(number);
    Ok([offset as u64, data.len() as u64, file])
}

/// Why a tensor cannot be read as floats.
fn wrong_vector(gguf: &Gguf<'_>, tensor: &Tensor<'_>) -> Error {
    if tensor.type_number() == abi::TensorType::F32 as u32 {
        Error::Misaligned {
            tensor: tensor.label(),
            offset: tensor.offset(),
            alignment: gguf.alignment().into(),
        }
    } else {
        Error::TensorType {
            tensor: tensor.label(),
            number: tensor.type_number(),
            type_name: tensor.type_name(),
        }
    }
}

fn check_present(
    roles: &[Role],
    places: &[Place],
    hyper: &Hyper,
    name: impl Fn(&str) -> Name,
) -> Result<(), Error> {
    for (role, place) in roles.iter().zip(places) {
        if (role.presence)(hyper) == Presence::Required && *place == NOWHERE {
            return Err(Error::Missing {
                what: "tensor",
                name: name(role.name),
            });
        }
    }
    Ok(())
}
