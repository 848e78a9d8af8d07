//! Where every tensor lies among all weights, on the card and in gradients: padded, one after another, in f32.

use std::ops::Range;

use super::shape::Padded;

/// A tensor as published, and its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tensor {
    /// Rows as published; a vector is one row.
    rows: usize,
    columns: usize,
    /// The place of its first value, in values.
    pub at: usize,
    /// Values from row to row in the padded form.
    stride: usize,
    place: Place,
}

/// How rows are placed.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// One after another.
    Plain,
    /// From row `.0` on they are moved to row `.1` on; the first pair that holds counts.
    Split([(usize, usize); 2]),
    /// `[channels, k]` becomes `[taps, channels]`, the last of the padded taps.
    Taps,
}

/// The places of one layer's tensors, in values.
#[derive(Clone, Copy, Debug)]
pub(super) struct LayerPlaces {
    pub norm: usize,
    pub in_proj: usize,
    /// Zeros where there is no bias.
    pub in_bias: usize,
    /// Taps `[k, ip]`, then the bias `[ip]`.
    pub conv: usize,
    pub x_proj: usize,
    pub dt_proj: usize,
    /// A_log `[ip, n]`, D `[ip]`, dt's bias `[ip]`.
    pub scan: usize,
    pub out_proj: usize,
    pub out_bias: usize,
}

/// The places of a two-layer network's tensors with a linear path beside it, in values.
#[derive(Clone, Copy, Debug)]
pub(super) struct DensePlaces {
    pub up: usize,
    pub up_bias: usize,
    pub down: usize,
    pub down_bias: usize,
    pub skip: usize,
    pub skip_bias: usize,
}

/// All tensors in the order of checkpoints; the head of tokens where the shape has it.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub tensors: Vec<Tensor>,
    pub embedding: usize,
    pub layers: Vec<LayerPlaces>,
    pub norm_f: usize,
    /// The head of tokens, `[vocab, d]`.
    pub head: Option<usize>,
    /// A series model's networks before the backbone and after it.
    pub ends: Option<[DensePlaces; 2]>,
    /// Values in all.
    pub len: usize,
}

impl Layout {
    pub fn new(p: &Padded) -> Self {
        let (mut tensors, mut len) = (vec![], 0);
        let mut room = |values: usize| {
            len += values;
            len - values
        };
        let embedding = room(p.shape.vocab * p.d);
        if p.shape.vocab > 0 {
            tensors.push(Tensor::plain(embedding, [p.shape.vocab, p.shape.d], p.d));
        }
        let mut layers = vec![];
        for _ in 0..p.shape.layers {
            let places = LayerPlaces {
                norm: room(p.d),
                in_proj: room(2 * p.ip * p.d),
                in_bias: room(2 * p.ip),
                conv: room((p.k + 1) * p.ip),
                x_proj: room(p.width() * p.ip),
                dt_proj: room(p.ip * p.r),
                scan: room(p.scan_values()),
                out_proj: room(p.d * p.ip),
                out_bias: room(p.d),
            };
            tensors.extend(layer(p, &places));
            layers.push(places);
        }
        let norm_f = room(p.d);
        tensors.push(Tensor::plain(norm_f, [1, p.shape.d], p.d));
        let head = p.shape.head.map(|_| room(p.vocab() * p.d));
        tensors.extend(head.map(|head| Tensor::plain(head, [p.shape.vocab, p.shape.d], p.d)));
        let ends = p.shape.series.map(|ends| {
            let d = [p.shape.d, p.d];
            let outputs = [ends.outputs(), ends.outputs().next_multiple_of(8)];
            let widths = [[[ends.features, ends.padded_features()], d], [d, outputs]];
            widths.map(|[n_in, n_out]| dense(p, [n_in, n_out], &mut room, &mut tensors))
        });
        Self { tensors, embedding, layers, norm_f, head, ends, len }
    }
}

/// A network from `n_in` to `n_out` values, each as published and padded.
fn dense(
    p: &Padded,
    [n_in, n_out]: [[usize; 2]; 2],
    room: &mut impl FnMut(usize) -> usize,
    tensors: &mut Vec<Tensor>,
) -> DensePlaces {
    let hidden = [2 * p.shape.d, p.hidden()];
    let mut linear = |from: [usize; 2], to: [usize; 2]| {
        let places = [room(to[1] * from[1]), room(to[1])];
        tensors.push(Tensor::plain(places[0], [to[0], from[0]], from[1]));
        tensors.push(Tensor::plain(places[1], [1, to[0]], to[1]));
        places
    };
    let ([up, up_bias], [down, down_bias]) = (linear(n_in, hidden), linear(hidden, n_out));
    let [skip, skip_bias] = linear(n_in, n_out);
    DensePlaces { up, up_bias, down, down_bias, skip, skip_bias }
}

/// One layer's tensors, in the order of checkpoints.
fn layer(p: &Padded, at: &LayerPlaces) -> Vec<Tensor> {
    let s = &p.shape;
    let halves = Place::Split([(s.d_in, p.ip); 2]);
    let parts = Place::Split([(s.r + s.n, p.r + p.n), (s.r, p.r)]);
    let conv =
        Tensor { rows: s.d_in, columns: s.k, at: at.conv + (p.k - s.k) * p.ip, stride: p.ip, place: Place::Taps };
    let mut tensors = vec![
        Tensor::plain(at.norm, [1, s.d], p.d),
        Tensor { place: halves, ..Tensor::plain(at.in_proj, [2 * s.d_in, s.d], p.d) },
    ];
    if s.linear_bias {
        tensors.push(Tensor { place: halves, ..Tensor::plain(at.in_bias, [2 * s.d_in, 1], 1) });
    }
    tensors.push(conv);
    if s.conv_bias {
        tensors.push(Tensor::plain(at.conv + p.k * p.ip, [1, s.d_in], p.ip));
    }
    let scan = at.scan + p.ip * p.n;
    tensors.extend([
        Tensor { place: parts, ..Tensor::plain(at.x_proj, [s.r + 2 * s.n, s.d_in], p.ip) },
        Tensor::plain(at.dt_proj, [s.d_in, s.r], p.r),
        Tensor::plain(scan + p.ip, [1, s.d_in], p.ip),
        Tensor::plain(at.scan, [s.d_in, s.n], p.n),
        Tensor::plain(scan, [1, s.d_in], p.ip),
        Tensor::plain(at.out_proj, [s.d, s.d_in], p.ip),
    ]);
    if s.linear_bias {
        tensors.push(Tensor::plain(at.out_bias, [1, s.d], p.d));
    }
    tensors
}

impl Tensor {
    fn plain(at: usize, [rows, columns]: [usize; 2], stride: usize) -> Self {
        Self { rows, columns, at, stride, place: Place::Plain }
    }

    /// Values as published.
    pub fn len(&self) -> usize {
        self.rows * self.columns
    }

    /// Writes published values to their padded places.
    pub fn put(&self, values: &[f32], all: &mut [f32]) {
        if let Place::Taps = self.place {
            values.iter().enumerate().for_each(|(i, &value)| all[self.tap(i)] = value);
            return;
        }
        for (row, values) in values.chunks_exact(self.columns.max(1)).enumerate() {
            all[self.row(row)].copy_from_slice(values);
        }
    }

    /// The published values.
    pub fn get(&self, all: &[f32]) -> Vec<f32> {
        match self.place {
            Place::Taps => (0..self.len()).map(|i| all[self.tap(i)]).collect(),
            _ => {
                let mut values = Vec::with_capacity(self.len());
                (0..self.rows).for_each(|row| values.extend_from_slice(&all[self.row(row)]));
                values
            }
        }
    }

    fn row(&self, row: usize) -> Range<usize> {
        let moved = match &self.place {
            Place::Split(pairs) => pairs.iter().find(|(from, _)| row >= *from),
            _ => None,
        };
        let at = self.at + moved.map_or(row, |(from, to)| row - from + to) * self.stride;
        at..at + self.columns
    }

    fn tap(&self, i: usize) -> usize {
        self.at + i % self.columns * self.stride + i / self.columns
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::shape::{SeriesEnds, Shape, TokenHead},
        *,
    };

    /// Every published value has a place of its own, and comes back from it.
    #[test]
    fn places_are_distinct_and_come_back() {
        let tuned = Shape {
            d: 16,
            d_in: 32,
            n: 16,
            k: 4,
            r: 8,
            layers: 2,
            vocab: 5,
            eps: 1e-5,
            linear_bias: false,
            conv_bias: true,
            series: None,
            head: None,
        };
        let odd = Shape { d: 13, d_in: 27, n: 5, k: 3, r: 3, linear_bias: true, ..tuned };
        let head = TokenHead { first: 1, count: 3 };
        let ends = SeriesEnds { features: 13, reach: 7, within: 3, levels: 5 };
        for shape in [
            tuned,
            Shape { head: Some(head), ..tuned },
            odd,
            Shape { series: Some(ends), head: Some(head), ..odd },
            Shape { vocab: 0, k: 1, n: 33, conv_bias: false, ..odd },
        ] {
            let padded = Padded::new(shape).expect("fits");
            let layout = Layout::new(&padded);
            let (mut all, mut next) = (vec![0.0; layout.len], 0.0);
            let mut values = vec![];
            for tensor in &layout.tensors {
                let numbers: Vec<f32> = (0..tensor.len()).map(|i| next + i as f32 + 1.0).collect();
                next += tensor.len() as f32;
                tensor.put(&numbers, &mut all);
                values.push(numbers);
            }
            for (tensor, values) in layout.tensors.iter().zip(&values) {
                assert_eq!(&tensor.get(&all), values);
                assert!(tensor.at.is_multiple_of(8));
            }
            assert_eq!(all.iter().filter(|&&value| value != 0.0).count() as f32, next);
        }
    }
}
