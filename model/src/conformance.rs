//! What every [`Encoder`] must do, as a suite that each implementation's tests call.

use crate::{
    Pooled,
    encoder::{BackboneState, Encoder, Input, Packed, PooledSpan, through},
};

/// Checks the laws for one encoder of tokens, to the bit:
///
/// - **chunk law**: any way of cutting a sequence into calls, one token at a time included, gives the same hidden rows of
///   every layer and the same states; at each cut the state may be cloned, or exported and imported;
/// - **batch law**: batch-mates, their lengths and their order change nothing;
/// - a peek gives a call's rows, and moves no state;
/// - pools, and a head's outputs, are those of a call's rows;
/// - a refused call moves no state.
///
/// `seed` chooses tokens, lengths and cuts.
///
/// # Panics
/// With a message, when the encoder breaks a law.
pub fn check(encoder: &dyn Encoder, seed: u64) {
    let mut draw = Draw(seed);
    let lengths = [0, 1, 2, 3, 17, 33, 70, draw.below(600)];
    let sequences: Vec<Vec<u32>> = lengths.iter().map(|len| draw.tokens(*len, encoder.config().vocab)).collect();
    let whole: Vec<Encoded> = sequences.iter().map(|tokens| alone(encoder, tokens)).collect();
    for (tokens, whole) in sequences.iter().zip(&whole) {
        let mut step = || 1;
        assert_eq!(&cut(encoder, tokens, &mut step), whole, "one token at a time, {} tokens", tokens.len());
        for _ in 0..3 {
            let longest = 1 + tokens.len() as u64;
            assert_eq!(&cut(encoder, tokens, &mut || draw.below(longest)), whole, "cut at random");
        }
    }
    for _ in 0..4 {
        let order = draw.order(sequences.len());
        let mates: Vec<&[u32]> = order.iter().map(|i| &sequences[*i][..]).collect();
        for (i, found) in order.iter().zip(together(encoder, &mates)) {
            assert_eq!(found, whole[*i], "among {order:?}");
        }
    }
    for count in [1, 3, 200] {
        peeks(encoder, &mut draw, count);
    }
    for tap in [encoder.config().layers, draw.below(encoder.config().layers as u64) as usize] {
        pools(encoder, &mut draw, (&sequences, tap));
    }
    head(encoder, &mut draw, &sequences);
    refusals(encoder);
}

/// Spans anywhere, overlapping ones and empty ones too, in two calls one after the other.
fn pools(encoder: &dyn Encoder, draw: &mut Draw, (sequences, tap): (&[Vec<u32>], usize)) {
    let (d, (tokens, offsets)) = (encoder.config().d, packed(sequences));
    let batch = Packed { input: Input::Tokens(&tokens), offsets: &offsets };
    let mut states: Vec<BackboneState> = sequences.iter().map(|_| encoder.fresh()).collect();
    let mut others = states.clone();
    let mut spans: Vec<PooledSpan> = vec![];
    for call in 0..2 {
        let rows =
            encoder.encode(&batch, &mut states.iter_mut().collect::<Vec<_>>(), &[tap]).expect("encodes").remove(0);
        if call == 0 {
            spans.extend((0..4 * sequences.len()).map(|_| PooledSpan { rows: 0..0, pooled: Pooled::new(d) }));
        }
        let mut expected = spans.iter().map(|span| span.pooled.clone()).collect::<Vec<_>>();
        for (i, (span, expected)) in spans.iter_mut().zip(&mut expected).enumerate() {
            let (first, last) = (offsets[i / 4], offsets[i / 4 + 1]);
            let from = first + draw.below((last - first) as u64) as usize;
            span.rows =
                if i % 4 == 0 { first..last } else { from..from + draw.below((last - from + 1) as u64) as usize };
            expected.push(&rows[span.rows.start * d..span.rows.end * d]);
        }
        let mut each: Vec<&mut BackboneState> = others.iter_mut().collect();
        encoder.encode_pooled(&batch, &mut each, tap, &mut spans).expect("encodes");
        for (span, expected) in spans.iter().zip(&expected) {
            assert!(span.pooled.has_bits_of(expected), "a pool of rows {:?}, tap {tap}, call {call}", span.rows);
        }
    }
    let mut across = [PooledSpan { rows: offsets[3]..offsets[5], pooled: Pooled::new(d) }];
    let mut each: Vec<&mut BackboneState> = others.iter_mut().collect();
    assert!(encoder.encode_pooled(&batch, &mut each, tap, &mut across).is_err(), "a span of two sequences");
}

fn head(encoder: &dyn Encoder, draw: &mut Draw, sequences: &[Vec<u32>]) {
    let (d, layers, (tokens, offsets)) = (encoder.config().d, encoder.config().layers, packed(sequences));
    let batch = Packed { input: Input::Tokens(&tokens), offsets: &offsets };
    let mut states: Vec<BackboneState> = sequences.iter().map(|_| encoder.fresh()).collect();
    let mut others = states.clone();
    let head: Vec<[f64; 4]> =
        (0..d).map(|_| std::array::from_fn(|_| f64::from(draw.below(1 << 24) as f32 / 8_388_608.0 - 1.0))).collect();
    let rows =
        encoder.encode(&batch, &mut states.iter_mut().collect::<Vec<_>>(), &[layers]).expect("encodes").remove(0);
    let mut found = vec![vec![]; sequences.len()];
    let mut each: Vec<&mut BackboneState> = others.iter_mut().collect();
    let mut take =
        |sequence: usize, rows: &[[f64; 4]]| found[sequence].extend(rows.as_flattened().iter().map(|v| v.to_bits()));
    encoder.encode_through(&batch, &mut each, &head, &mut take).expect("encodes");
    for (i, found) in found.iter().enumerate() {
        let rows = rows[offsets[i] * d..offsets[i + 1] * d].chunks_exact(d);
        let expected: Vec<u64> = rows.flat_map(|row| through(row, &head)).map(f64::to_bits).collect();
        assert!(*found == expected, "a head's outputs for {} tokens", sequences[i].len());
    }
    assert!(encoder.encode_through(&batch, &mut each, &head[1..], &mut |_, _| ()).is_err(), "a narrow head");
}

/// All tokens, and where each sequence begins.
fn packed(sequences: &[Vec<u32>]) -> (Vec<u32>, Vec<usize>) {
    let mut offsets = vec![0];
    sequences.iter().for_each(|sequence| offsets.push(offsets[offsets.len() - 1] + sequence.len()));
    (sequences.concat(), offsets)
}

/// One token each, or none, of sequences that stand anywhere: shown, shown again, then taken in.
fn peeks(encoder: &dyn Encoder, draw: &mut Draw, count: u64) {
    let taps = taps(encoder);
    let mut states: Vec<BackboneState> = (0..count).map(|_| encoder.fresh()).collect();
    let (mut tokens, mut offsets) = (vec![], vec![0]);
    for (i, state) in states.iter_mut().enumerate() {
        let len = draw.below(6);
        let before = draw.tokens(len, encoder.config().vocab);
        let batch = Packed { input: Input::Tokens(&before), offsets: &[0, before.len()] };
        encoder.encode(&batch, &mut [state], &[]).expect("encodes");
        if i == 0 || draw.below(4) > 0 {
            tokens.extend(draw.tokens(1, encoder.config().vocab));
        }
        offsets.push(tokens.len());
    }
    let published =
        |states: &[BackboneState]| states.iter().map(|s| encoder.export(s).expect("exports")).collect::<Vec<_>>();
    let before = published(&states);
    let batch = Packed { input: Input::Tokens(&tokens), offsets: &offsets };
    let bits = |rows: Vec<Vec<f32>>| rows.iter().map(|rows| bits(rows)).collect::<Vec<_>>();
    for _ in 0..2 {
        let shown = encoder.peek(&batch, &states.iter().collect::<Vec<_>>(), &taps).expect("peeks");
        assert!(published(&states) == before, "a peek of {count} moved a state");
        let mut forks = encoder.fork(&states.iter().collect::<Vec<_>>()).expect("forks");
        let taken = encoder.encode(&batch, &mut forks.iter_mut().collect::<Vec<_>>(), &taps).expect("encodes");
        assert!(bits(shown) == bits(taken), "a peek of {count} gave other rows");
        assert!(published(&forks) != before, "a call moved no state");
    }
    let two = Packed { input: Input::Tokens(&[0, 0]), offsets: &[0, 2] };
    assert!(encoder.peek(&two, &[&states[0]], &taps).is_err(), "a peek of two tokens");
}

/// Hidden rows of every layer, and the state after them in the published order; compared by bits.
#[derive(Debug, PartialEq)]
struct Encoded {
    rows: Vec<Vec<u32>>,
    state: Vec<u32>,
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn taps(encoder: &dyn Encoder) -> Vec<usize> {
    (0..=encoder.config().layers).collect()
}

fn alone(encoder: &dyn Encoder, tokens: &[u32]) -> Encoded {
    together(encoder, &[tokens]).remove(0)
}

/// All sequences in one call.
fn together(encoder: &dyn Encoder, sequences: &[&[u32]]) -> Vec<Encoded> {
    let tokens = sequences.concat();
    let mut offsets = vec![0];
    sequences.iter().for_each(|sequence| offsets.push(offsets[offsets.len() - 1] + sequence.len()));
    let mut states: Vec<BackboneState> = sequences.iter().map(|_| encoder.fresh()).collect();
    let mut each: Vec<&mut BackboneState> = states.iter_mut().collect();
    let batch = Packed { input: Input::Tokens(&tokens), offsets: &offsets };
    let taps = taps(encoder);
    let mut all = vec![vec![vec![]; taps.len()]; sequences.len()];
    let mut take = |sequence: usize, rows: &[&[f32]]| {
        all[sequence].iter_mut().zip(rows).for_each(|(all, rows)| all.extend(bits(rows)));
    };
    encoder.encode_to(&batch, &mut each, &taps, &mut take).expect("encodes");
    let exported = states.iter().map(|state| bits(&encoder.export(state).expect("exports")));
    all.into_iter().zip(exported).map(|(rows, state)| Encoded { rows, state }).collect()
}

/// In calls of `next()` tokens each; between them the state is cloned, or exported and imported, in turn.
fn cut(encoder: &dyn Encoder, tokens: &[u32], next: &mut dyn FnMut() -> u64) -> Encoded {
    let taps = taps(encoder);
    let (mut state, mut rows, mut rest, mut calls) = (encoder.fresh(), vec![vec![]; taps.len()], tokens, 0);
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at((next() as usize).min(rest.len()));
        rest = after;
        state = match calls % 2 {
            0 => state.clone(),
            _ => encoder.import(&encoder.export(&state).expect("exports")).expect("imports what it exported"),
        };
        calls += 1;
        let batch = Packed { input: Input::Tokens(chunk), offsets: &[0, chunk.len()] };
        let found = encoder.encode(&batch, &mut [&mut state], &taps).expect("encodes");
        rows.iter_mut().zip(found).for_each(|(rows, found)| rows.extend(bits(&found)));
    }
    Encoded { rows, state: bits(&encoder.export(&state).expect("exports")) }
}

fn refusals(encoder: &dyn Encoder) {
    let config = encoder.config();
    let outside = config.vocab as u32;
    let calls: [(&[u32], &[usize], usize); 4] =
        [(&[0, outside], &[0, 2], 0), (&[0, 0], &[0, 1], 0), (&[0], &[0, 0, 1], 0), (&[0], &[0, 1], config.layers + 1)];
    for (tokens, offsets, tap) in calls {
        let mut state = encoder.fresh();
        let batch = Packed { input: Input::Tokens(tokens), offsets };
        assert!(encoder.encode(&batch, &mut [&mut state], &[tap]).is_err(), "{tokens:?} {offsets:?} {tap}");
        assert_eq!(state, encoder.fresh(), "a refused call moved the state");
    }
    assert!(encoder.import(&[0.0]).is_err() || config.state_len() == 1);
}

/// Choices of the suite: a splitmix64 generator.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }

    fn tokens(&mut self, len: u64, vocab: usize) -> Vec<u32> {
        (0..len).map(|_| self.below(vocab as u64) as u32).collect()
    }

    fn order(&mut self, len: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..len).collect();
        (1..len).rev().for_each(|i| order.swap(i, self.below(i as u64 + 1) as usize));
        order
    }
}
