//! The states of many sequences on a card: fixed slots, and whole states in and out of them.

use super::{
    CudaError, Gpu, Lane, Mark,
    buffer::{Buffer, Pinned},
    launch::{Kernel, arg},
};

/// Slots that one call moves to or from the host at most.
const AT_ONCE: usize = 64;
/// Slots, or pairs of them, that one call zeroes or copies at most.
const LISTED: usize = 4096;

/// One layer's states.
#[derive(Clone, Copy)]
pub struct LayerStates {
    /// Of slot 0.
    pub(super) address: u64,
    /// Values from slot to slot.
    pub(super) stride: usize,
}

/// A pool of slots. Layers lie one after the other, in each all slots: a step of many sequences reads a layer's states in
/// one sweep.
pub struct States {
    buffer: Buffer,
    slots: usize,
    layers: usize,
    stride: usize,
    list: Buffer,
    host_list: Pinned<i32>,
    staging: Buffer,
    host_staging: Pinned<f32>,
    zero: Kernel,
    copy: Kernel,
    save: Kernel,
    load: Kernel,
    moves: Lane,
    gathered: Mark,
}

impl States {
    /// `slots` states of `layers` times `values` values, zeros.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn new(gpu: &Gpu, slots: usize, layers: usize, values: usize) -> Result<Self, CudaError> {
        let stride = values.next_multiple_of(4).max(4);
        let load = |name| Kernel::load(gpu, "states", name, 0);
        Ok(Self {
            buffer: Buffer::zeros(gpu, "states", slots * layers * stride * 4)?,
            slots,
            layers,
            stride,
            list: Buffer::zeros(gpu, "states", 8 * LISTED)?,
            host_list: Pinned::zeros(gpu, 2 * LISTED)?,
            staging: Buffer::zeros(gpu, "states", AT_ONCE * layers * stride * 4)?,
            host_staging: Pinned::zeros(gpu, AT_ONCE * layers * stride)?,
            zero: load("states_zero")?,
            copy: load("states_copy")?,
            save: load("states_save")?,
            load: load("states_load")?,
            moves: Lane::new(gpu)?,
            gathered: Mark::new(gpu)?,
        })
    }

    /// Bytes that a slot takes.
    #[must_use]
    pub fn slot_bytes(layers: usize, values: usize) -> usize {
        layers * values.next_multiple_of(4).max(4) * 4
    }

    /// Slots.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Values of a slot: for each layer its own, then up to three zeros.
    #[must_use]
    pub fn slot_values(&self) -> usize {
        self.layers * self.stride
    }

    /// One layer's.
    ///
    /// # Panics
    /// When there is no such layer.
    #[must_use]
    pub fn layer(&self, layer: usize) -> LayerStates {
        assert!(layer < self.layers, "layer {layer} of {}", self.layers);
        LayerStates { address: self.buffer.at(layer * self.slots * self.stride * 4), stride: self.stride }
    }

    /// Slots become zeros, in the lane's order.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn zero(&mut self, lane: &Lane, slots: &[usize]) -> Result<(), CudaError> {
        for slots in slots.chunks(LISTED) {
            self.list(lane, slots.iter().copied())?;
            self.each(&self.zero, lane, slots.len(), false)?;
        }
        Ok(())
    }

    /// Copies slots: pairs of from and to, in the lane's order.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn copy(&mut self, lane: &Lane, pairs: &[(usize, usize)]) -> Result<(), CudaError> {
        for pairs in pairs.chunks(LISTED) {
            self.list(lane, pairs.iter().flat_map(|(from, to)| [*from, *to]))?;
            self.each(&self.copy, lane, pairs.len(), false)?;
        }
        Ok(())
    }

    /// Copies slots to the host: gathered in the lane's order, then on their way beside whatever the lane does next.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn save(&mut self, lane: &Lane, slots: &[usize], mut take: impl FnMut(usize, &[f32])) -> Result<(), CudaError> {
        let each = self.slot_values();
        for (i, slots) in slots.chunks(AT_ONCE).enumerate() {
            self.list(lane, slots.iter().copied())?;
            self.each(&self.save, lane, slots.len(), true)?;
            lane.mark(&self.gathered)?;
            self.moves.wait(&self.gathered)?;
            self.staging.get(&self.moves, 0, &mut self.host_staging, slots.len() * each)?;
            self.moves.finish()?;
            for (j, values) in self.host_staging.values().chunks_exact(each).take(slots.len()).enumerate() {
                take(i * AT_ONCE + j, values);
            }
        }
        Ok(())
    }

    /// Copies states from the host into slots, before what the lane does next.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn load(
        &mut self,
        lane: &Lane,
        slots: &[usize],
        mut give: impl FnMut(usize, &mut [f32]),
    ) -> Result<(), CudaError> {
        let each = self.slot_values();
        for (i, slots) in slots.chunks(AT_ONCE).enumerate() {
            for (j, values) in self.host_staging.values_mut().chunks_exact_mut(each).take(slots.len()).enumerate() {
                give(i * AT_ONCE + j, values);
            }
            self.staging.put(lane, 0, &self.host_staging, slots.len() * each)?;
            self.list(lane, slots.iter().copied())?;
            self.each(&self.load, lane, slots.len(), true)?;
            lane.finish()?; // the staging is free again
        }
        Ok(())
    }

    /// Puts slots where the kernels look for them. The list before has been read once the lane is through with it.
    fn list(&mut self, lane: &Lane, slots: impl Iterator<Item = usize>) -> Result<(), CudaError> {
        lane.finish()?;
        let mut count = 0;
        for (to, slot) in self.host_list.values_mut().iter_mut().zip(slots) {
            assert!(slot < self.slots, "slot {slot} of {}", self.slots);
            *to = i32::try_from(slot).unwrap_or(i32::MAX);
            count += 1;
        }
        self.list.put(lane, 0, &self.host_list, count)
    }

    fn each(&self, kernel: &Kernel, lane: &Lane, count: usize, staged: bool) -> Result<(), CudaError> {
        let (states, list, staging) = (self.buffer.at(0), self.list.at(0), self.staging.at(0));
        let (layer_stride, stride) = ((self.slots * self.stride) as u64, self.stride as u64);
        let grid = [(self.stride / 4).div_ceil(256), self.layers, count];
        let [a, b, c, d, e] = [arg(&states), arg(&layer_stride), arg(&stride), arg(&list), arg(&staging)];
        let args: &mut [_] = if staged { &mut [a, b, c, d, e] } else { &mut [a, b, c, d] };
        // SAFETY: the arguments of the states kernels; slots were checked when they were listed.
        unsafe { kernel.launch(lane, (grid, 256), args) }
    }
}
