//! Lanes: work memory, and the waves that go through the layers on it.

use std::collections::HashMap;

use unspool_kernels::cuda::{self, CudaError, Gpu, Graph, Mark, On, Pinned, Run, Size, Stack, Type, Words};

use super::{
    Net,
    layer::{Carried, Mixed, all_at_once},
    outlet::{Ask, Outlet},
    plan::Wave,
};
use crate::{Result, config::Config, encoder::Input};

/// Waves on the card at once. One layer of one wave leaves most of a large card idle; eight layers fill it. Of one long sequence a
/// wave scans in each of eight layers, and before and behind these there are some that do the rest.
const LANES: usize = 12;
/// Rows of a wave.
const ROWS: usize = 8192;
/// Rows of a wave of one sequence alone, for each layer: that many take as long on the card as the host takes to queue a layer.
const ALONE_ROWS: usize = 512;
/// Graphs that are kept.
const GRAPHS: usize = 64;

/// What the layers want to know of a wave's rows.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    /// Every kernel is a tuned one.
    pub(super) tuned: bool,
    /// Some layer convolves by tiles.
    pub(super) tiled: bool,
}

/// One call.
pub(super) struct Call<'a, 'b, 'c> {
    pub(super) input: Input<'a>,
    /// The first sequence's number in the batch.
    pub(super) first: usize,
    /// Where each sequence begins in the batch.
    pub(super) starts: &'a [usize],
    /// A wave's runs on the card: asked once for each wave, in their order.
    pub(super) runs: &'b mut dyn FnMut(&Wave) -> Result<Vec<Run>>,
    /// Single rows, whose states stay as they are.
    pub(super) peeks: bool,
    pub(super) ask: &'b mut Ask<'c>,
}

/// All lanes of an encoder.
pub(super) struct Lanes {
    gpu: std::sync::Arc<Gpu>,
    lanes: Vec<Work>,
    /// Of wave w in layer l, at `w * layers + l`.
    marks: Vec<Moved>,
    /// Marks of wave w after what is made of its rows.
    made: Vec<Mark>,
    graphs: HashMap<Kind, Seen>,
    forked: Mark,
    rows: Rows,
    layers: usize,
}

/// What graphs are made for: the sizes of waves that do not wait for each other, and whether they hold tokens.
type Kind = (Vec<Size>, bool);

/// A kind of call that came before: the second time its graph is made.
enum Seen {
    Once,
    Graph(Box<Graph>),
}

/// Marks of a wave in a layer: whoever goes on with its sequences waits for these.
struct Moved {
    windows: Mark,
    states: Mark,
}

/// One lane's.
struct Work {
    lane: cuda::Lane,
    rows: WorkRows,
    /// Two: while one wave is on its way the next is described.
    turns: [Turn; 2],
}

/// A wave's rows on their way.
struct WorkRows {
    mixed: Mixed,
    last: cuda::Rows,
    /// Where single rows go through all layers at once.
    words: Option<Words>,
}

/// What the host holds of a wave on its way.
struct Turn {
    wave: cuda::Wave,
    input: Option<Pinned<f32>>,
    outlet: Outlet,
    done: Mark,
    /// The wave's place in the plan, and each part's first row.
    pending: Option<(usize, Vec<usize>)>,
}

impl Lanes {
    pub(super) fn new(gpu: &std::sync::Arc<Gpu>, config: &Config, net: &Net, rows: Rows) -> Result<Self, CudaError> {
        let lanes = (0..LANES).map(|_| Work::new(gpu, config, net)).collect::<Result<_, _>>()?;
        let gpu = std::sync::Arc::clone(gpu);
        let forked = Mark::new(&gpu)?;
        Ok(Self {
            gpu,
            lanes,
            marks: vec![],
            made: vec![],
            graphs: HashMap::new(),
            forked,
            rows,
            layers: config.layers,
        })
    }

    /// What a stack asks of each lane.
    pub(super) fn stack(&mut self, stack: &Stack) -> Result<(), CudaError> {
        for work in &mut self.lanes {
            work.rows.words = Some(stack.words(&self.gpu)?);
        }
        Ok(())
    }

    /// Rows of a wave at most.
    pub(super) fn most(&self) -> usize {
        ROWS
    }

    /// Rows of a wave of one sequence alone.
    pub(super) fn alone(&self) -> usize {
        (ALONE_ROWS * self.layers).min(ROWS)
    }

    /// Runs the waves, and takes what is tapped. The lanes are through then.
    pub(super) fn run(&mut self, net: &Net, waves: &[Wave], call: &mut Call<'_, '_, '_>) -> Result<()> {
        for work in &mut self.lanes {
            let left = work.turns.iter_mut().filter_map(|turn| turn.pending.take()).count();
            if left > 0 {
                // A call before failed in the midst.
                let _ = work.lane.finish();
            }
        }
        let inner = call.ask.inner(self.layers);
        // Of waves that take one kernel each the first is on its way while the others are described.
        let streamed = waves.len() > 1 && net.steps_at_once() && waves.iter().all(Wave::is_steps);
        let apart = waves.len() <= self.lanes.len() && waves.iter().all(|wave| wave.after.is_empty());
        if apart && !inner && !streamed {
            return self.run_as_graph(net, waves, call);
        }
        let mut followed = vec![false; waves.len()];
        waves.iter().flat_map(|wave| &wave.after).for_each(|w| followed[*w] = true);
        while followed.contains(&true) && self.marks.len() < waves.len() * self.layers {
            self.marks.push(Moved { windows: Mark::new(&self.gpu)?, states: Mark::new(&self.gpu)? });
        }
        while followed.contains(&true) && call.ask.carries() && self.made.len() < waves.len() {
            self.made.push(Mark::new(&self.gpu)?);
        }
        let count = self.lanes.len();
        let started =
            (waves.iter().enumerate()).try_for_each(|(w, wave)| self.start(net, (w, wave, followed[w]), (waves, call)));
        for turn in waves.len().saturating_sub(2 * count)..waves.len() {
            let work = &mut self.lanes[turn % count];
            work.lane.enter()?;
            let drained = work.turns[turn / count % 2].drain(waves, call, net.d);
            if started.is_ok() {
                drained?;
            }
        }
        started
    }

    /// Runs waves that do not wait for each other, one a lane: as a graph from the second time on that their sizes come.
    fn run_as_graph(&mut self, net: &Net, waves: &[Wave], call: &mut Call<'_, '_, '_>) -> Result<()> {
        let Some(Work { lane: main, .. }) = self.lanes.first() else { return Ok(()) };
        main.enter()?;
        let main = main.clone();
        let mut sizes = Vec::with_capacity(waves.len());
        for (wave, Work { rows, turns: [turn, _], .. }) in waves.iter().zip(&mut self.lanes) {
            let runs = (call.runs)(wave)?;
            let firsts = turn.wave.set(&main, &runs, (self.rows.tiled, call.peeks))?;
            turn.put(&self.gpu, &main, (wave, &firsts), (call, rows.mixed.residual()))?;
            turn.outlet.describe((&self.gpu, &main), (wave, &firsts), (call.ask, call.starts), (ROWS, net.d))?;
            turn.pending = Some((sizes.len(), firsts));
            sizes.push(turn.wave.size().rounded().within(turn.wave.most()));
        }
        let key: Kind = (sizes, matches!(call.input, Input::Tokens(_)));
        let lanes = &self.lanes[..waves.len()];
        let all = || {
            main.mark(&self.forked)?;
            for (i, (work, size)) in lanes.iter().zip(&key.0).enumerate() {
                let Work { lane, rows, turns: [turn, _] } = work;
                if i > 0 {
                    lane.wait(&self.forked)?;
                }
                let on = On { lane, wave: &turn.wave, size: *size };
                net.forward(on, rows, (key.1, true), &mut |_, _| Ok(()))?;
                if i > 0 {
                    lane.mark(&turn.done)?;
                    main.wait(&turn.done)?;
                }
            }
            Ok(())
        };
        match self.graphs.get_mut(&key) {
            Some(Seen::Graph(graph)) => main.start(graph)?,
            Some(seen @ Seen::Once) => {
                let mut graph = Box::new(main.capture(all)?);
                main.start(&mut graph)?;
                *seen = Seen::Graph(graph);
            }
            None => {
                all()?;
                if self.graphs.len() < GRAPHS {
                    self.graphs.insert(key, Seen::Once);
                }
            }
        }
        for Work { rows, turns: [turn, _], .. } in &mut self.lanes[..waves.len()] {
            let on = On { lane: &main, wave: &turn.wave, size: turn.wave.size() };
            turn.outlet.tapped(on, (self.layers, &rows.last), (call.ask, self.layers))?;
            main.mark(&turn.done)?;
        }
        for work in self.lanes.iter_mut().take(waves.len()) {
            work.turns[0].drain(waves, call, net.d)?;
        }
        Ok(())
    }

    fn start(
        &mut self,
        net: &Net,
        (w, wave, followed): (usize, &Wave, bool),
        (waves, call): (&[Wave], &mut Call<'_, '_, '_>),
    ) -> Result<()> {
        let count = self.lanes.len();
        let Work { lane, rows, turns } = &mut self.lanes[w % count];
        let turn = &mut turns[w / count % 2];
        lane.enter()?;
        turn.drain(waves, call, net.d)?;
        let runs = (call.runs)(wave)?;
        let firsts = turn.wave.set(lane, &runs, (self.rows.tiled, call.peeks))?;
        turn.put(&self.gpu, lane, (wave, &firsts), (call, rows.mixed.residual()))?;
        let tokens = matches!(call.input, Input::Tokens(_));
        let size = turn.wave.size();
        let Turn { wave: described, outlet, .. } = turn;
        outlet.describe((&self.gpu, lane), (wave, &firsts), (call.ask, call.starts), (ROWS, net.d))?;
        let on = On { lane, wave: described, size };
        let (marks, made, layers, ask) = (&self.marks, &self.made, self.layers, &*call.ask);
        let after = |layer| wave.after.iter().map(move |e| e * layers + layer);
        let mut tap = |reached, rows: &cuda::Rows| {
            let carries = ask.carries_at(reached);
            if carries {
                wave.after.iter().try_for_each(|e| lane.wait(&made[*e]))?;
            }
            outlet.tapped(on, (reached, rows), (ask, layers))?;
            if carries && followed { lane.mark(&made[w]) } else { Ok(()) }
        };
        net.forward(on, rows, (tokens, !ask.inner(layers)), &mut |at, residual| match at {
            At::Embedded => tap(0, residual),
            At::Within(layer, Carried::WindowsNext) => after(layer).try_for_each(|e| lane.wait(&marks[e].windows)),
            At::Within(layer, Carried::StatesNext) => after(layer).try_for_each(|e| lane.wait(&marks[e].states)),
            At::Within(layer, Carried::WindowsMoved) if followed => lane.mark(&marks[w * layers + layer].windows),
            At::Within(layer, Carried::StatesMoved) if followed => lane.mark(&marks[w * layers + layer].states),
            At::After(layer) if layer + 1 < layers => tap(layer + 1, residual),
            At::Within(..) | At::After(_) => Ok(()),
        })?;
        tap(layers, &rows.last)?;
        lane.mark(&turn.done)?;
        turn.pending = Some((w, firsts));
        Ok(())
    }
}

/// A place on the way through the layers.
#[derive(Clone, Copy)]
enum At {
    /// The residual stream is the embedding.
    Embedded,
    /// In this layer.
    Within(usize, Carried),
    /// This layer is done.
    After(usize),
}

/// Is told where a wave is, with its residual stream.
type Tell<'a> = dyn FnMut(At, &cuda::Rows) -> Result<(), CudaError> + 'a;

impl Net {
    /// Queues a wave's way through all layers. `tokens`: the wave's; else rows are in the residual stream already. `whole`: nobody
    /// asks for rows between layers.
    fn forward(
        &self,
        on: On<'_>,
        rows: &WorkRows,
        (tokens, whole): (bool, bool),
        tell: &mut Tell<'_>,
    ) -> Result<(), CudaError> {
        let WorkRows { mixed, last, words } = rows;
        if let (true, Some(embedding)) = (tokens, &self.embedding) {
            embedding.forward(on, mixed.residual())?;
        }
        tell(At::Embedded, mixed.residual())?;
        match (&self.stack, words) {
            (Some(stack), Some(words)) if whole && stack.takes(on.size) => {
                let all = &mut |carried| {
                    (0..self.layers.len()).try_for_each(|i| tell(At::Within(i, carried), mixed.residual()))
                };
                all_at_once(all, || stack.forward(on, mixed.residual(), words))?;
            }
            _ => {
                on.wave.describe_rows(on.lane, on.size)?;
                for (i, layer) in self.layers.iter().enumerate() {
                    let tell_of = &mut |carried| tell(At::Within(i, carried), mixed.residual());
                    layer.forward(on, mixed, self.states[i], (self.layers.get(i + 1), tell_of))?;
                    tell(At::After(i), mixed.residual())?;
                }
            }
        }
        self.norm_f.forward(on, mixed.residual(), last)
    }
}

impl Work {
    fn new(gpu: &Gpu, config: &Config, net: &Net) -> Result<Self, CudaError> {
        let turn = || {
            let (wave, done) = (cuda::Wave::new(gpu, ROWS)?, Mark::new(gpu)?);
            Ok(Turn { wave, input: None, outlet: Outlet::new(), done, pending: None })
        };
        Ok(Self {
            lane: cuda::Lane::new(gpu)?,
            rows: WorkRows {
                mixed: Mixed::new((gpu, net.kind), config, ROWS)?,
                last: cuda::Rows::new(gpu, Type::F32, (ROWS, config.d))?,
                words: None,
            },
            turns: [turn()?, turn()?],
        })
    }
}

impl Turn {
    /// Waits for the wave before, and takes what it tapped.
    fn drain(&mut self, waves: &[Wave], call: &mut Call<'_, '_, '_>, d: usize) -> Result<(), CudaError> {
        let Some((w, firsts)) = self.pending.take() else { return Ok(()) };
        self.done.finish()?;
        self.outlet.give((&waves[w], &firsts), (call.ask, call.first), d);
        Ok(())
    }

    /// Sends the wave's tokens or rows.
    fn put(
        &mut self,
        gpu: &Gpu,
        lane: &cuda::Lane,
        (wave, firsts): (&Wave, &[usize]),
        (call, residual): (&Call<'_, '_, '_>, &cuda::Rows),
    ) -> Result<(), CudaError> {
        let each = || {
            wave.parts.iter().zip(firsts).map(|(part, first)| (call.starts[part.sequence], part.rows.clone(), *first))
        };
        match call.input {
            Input::Tokens(tokens) => self.wave.set_tokens(lane, |to| {
                for (start, rows, first) in each() {
                    match rows.len() {
                        1 => to[first] = tokens[start + rows.start],
                        len => to[first..first + len].copy_from_slice(&tokens[start + rows.start..start + rows.end]),
                    }
                }
            }),
            Input::Rows(all) => {
                let d = residual.cols();
                if self.input.is_none() {
                    self.input = Some(Pinned::zeros(gpu, ROWS * d)?);
                }
                let Some(input) = &mut self.input else { return Ok(()) };
                for (start, rows, first) in each() {
                    let from = &all[(start + rows.start) * d..(start + rows.end) * d];
                    input.values_mut()[first * d..first * d + from.len()].copy_from_slice(from);
                }
                residual.buffer().put(lane, 0, input, self.wave.size().rows * d)
            }
        }
    }
}
