//! Starting kernels: functions with their shared memory, lanes of work, and graphs of what was captured from them.

use std::{ffi::c_void, sync::Arc};

use cudarc::driver::{
    CudaEvent, CudaFunction, CudaGraph, CudaStream, DeviceRepr,
    sys::{self, CUfunction_attribute},
};

use super::{CudaError, Gpu};

/// A kernel, and the dynamic shared memory of its blocks.
pub(super) struct Kernel {
    function: CudaFunction,
    shared_bytes: u32,
}

impl Kernel {
    pub(super) fn load(gpu: &Gpu, module: &str, name: &str, shared_bytes: usize) -> Result<Self, CudaError> {
        let function = gpu.function(module, name)?;
        if shared_bytes > 0 {
            let attribute = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            let bytes = i32::try_from(shared_bytes).unwrap_or(i32::MAX);
            function.set_attribute(attribute, bytes).map_err(CudaError::driver("giving a kernel shared memory"))?;
        }
        Ok(Self { function, shared_bytes: u32::try_from(shared_bytes).unwrap_or(u32::MAX) })
    }

    /// Starts it on a lane. An empty grid is nothing to do.
    ///
    /// # Safety
    /// The arguments must be those of the kernel, by type and in order, and what they point to must be there until the
    /// lane has come past, with as much room as the kernel's contract says.
    pub(super) unsafe fn launch(
        &self,
        lane: &Lane,
        (grid, block): ([usize; 3], u32),
        args: &mut [*mut c_void],
    ) -> Result<(), CudaError> {
        // SAFETY: the caller's.
        unsafe { self.start(lane, (grid, block), args, None) }
    }

    /// As [`Kernel::launch`], but before the kernel ahead of it in the lane is through: as soon as all of that one's blocks have
    /// come to `griddepcontrol.launch_dependents` (a kernel without it: at its end). What is ahead of it is over, for it,
    /// only behind its own `griddepcontrol.wait`.
    ///
    /// # Safety
    /// As there; and some block must wait, and before it the kernel neither reads what a kernel ahead of it writes nor
    /// writes at all.
    pub(super) unsafe fn launch_early(
        &self,
        lane: &Lane,
        (grid, block): ([usize; 3], u32),
        args: &mut [*mut c_void],
    ) -> Result<(), CudaError> {
        let early = sys::CUlaunchAttribute {
            id: sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
            pad: [0; 4],
            value: sys::CUlaunchAttributeValue { programmaticStreamSerializationAllowed: 1 },
        };
        // SAFETY: the caller's.
        unsafe { self.start(lane, (grid, block), args, Some(early)) }
    }

    /// As [`Kernel::launch`], all blocks at once: they may wait for each other. An error where they do not fit on the card.
    ///
    /// # Safety
    /// As there.
    pub(super) unsafe fn launch_together(
        &self,
        lane: &Lane,
        shape: ([usize; 3], u32),
        args: &mut [*mut c_void],
    ) -> Result<(), CudaError> {
        let together = sys::CUlaunchAttribute {
            id: sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_COOPERATIVE,
            pad: [0; 4],
            value: sys::CUlaunchAttributeValue { cooperative: 1 },
        };
        // SAFETY: the caller's.
        unsafe { self.start(lane, shape, args, Some(together)) }
    }

    /// # Safety
    /// As [`Kernel::launch`] and what the attribute asks for.
    unsafe fn start(
        &self,
        lane: &Lane,
        (grid, block): ([usize; 3], u32),
        args: &mut [*mut c_void],
        mut attribute: Option<sys::CUlaunchAttribute>,
    ) -> Result<(), CudaError> {
        if grid.contains(&0) {
            return Ok(());
        }
        let [x, y, z] = grid.map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        let config = sys::CUlaunchConfig {
            gridDimX: x,
            gridDimY: y,
            gridDimZ: z,
            blockDimX: block,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: self.shared_bytes,
            hStream: lane.stream.cu_stream(),
            numAttrs: u32::from(attribute.is_some()),
            attrs: attribute.as_mut().map_or(std::ptr::null_mut(), std::ptr::from_mut),
        };
        let function = self.function.cu_function();
        // SAFETY: the function's module lives as long as the Gpu, which whoever made the kernel holds; the configuration lives
        // until the call is over; the rest is the caller's.
        let done =
            unsafe { sys::cuLaunchKernelEx(&raw const config, function, args.as_mut_ptr(), std::ptr::null_mut()) };
        done.result().map_err(CudaError::driver("starting a kernel"))
    }
}

/// A value as a kernel's argument.
pub(super) fn arg<T: DeviceRepr>(value: &T) -> *mut c_void {
    std::ptr::from_ref(value).cast_mut().cast()
}

/// Work in order: a stream of a card. A clone is the same lane.
#[derive(Clone)]
pub struct Lane {
    stream: Arc<CudaStream>,
}

/// A place in a lane's work that other lanes, or the host, can wait for.
pub struct Mark(CudaEvent);

/// Captured work of one lane, to be started as a whole.
pub struct Graph(CudaGraph);

// SAFETY: a graph is not to be used by two threads at once; it is launched through `&mut`.
unsafe impl Send for Graph {}

impl Lane {
    /// A new one.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn new(gpu: &Gpu) -> Result<Self, CudaError> {
        let stream = gpu.context().new_stream().map_err(CudaError::driver("making a stream"))?;
        Ok(Self { stream })
    }

    /// Makes this host thread one of the card's.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn enter(&self) -> Result<(), CudaError> {
        self.stream.context().bind_to_thread().map_err(CudaError::driver("entering the card's context"))
    }

    pub(super) fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// Waits, on the host, for all of its work.
    ///
    /// # Errors
    /// When any of it failed.
    pub fn finish(&self) -> Result<(), CudaError> {
        self.stream.synchronize().map_err(CudaError::driver("waiting for the card"))
    }

    /// Sets a mark after the work so far.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn mark(&self, mark: &Mark) -> Result<(), CudaError> {
        mark.0.record(&self.stream).map_err(CudaError::driver("marking a stream"))
    }

    /// Further work waits for a mark that was set before.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn wait(&self, mark: &Mark) -> Result<(), CudaError> {
        self.stream.wait(&mark.0).map_err(CudaError::driver("waiting for another stream"))
    }

    /// Captures what `work` starts on this lane, instead of running it.
    ///
    /// # Errors
    /// Those of `work`, and when the driver refuses.
    pub fn capture(&self, work: impl FnOnce() -> Result<(), CudaError>) -> Result<Graph, CudaError> {
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        let fail = CudaError::driver;
        self.stream.begin_capture(mode).map_err(fail("capturing a graph"))?;
        let worked = work();
        let flags = sys::CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
        let graph = self.stream.end_capture(flags).map_err(fail("making a graph"));
        worked?;
        let graph = graph?.ok_or_else(|| CudaError::NoKernel("a graph without work".into()))?;
        Ok(Graph(graph))
    }

    /// Starts a graph that was captured on this lane.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn start(&self, graph: &mut Graph) -> Result<(), CudaError> {
        graph.0.launch().map_err(CudaError::driver("starting a graph"))
    }
}

impl Mark {
    /// A new one, not set.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn new(gpu: &Gpu) -> Result<Self, CudaError> {
        Ok(Self(gpu.context().new_event(None).map_err(CudaError::driver("making an event"))?))
    }

    /// Waits for it on the host.
    ///
    /// # Errors
    /// When work before it failed.
    pub fn finish(&self) -> Result<(), CudaError> {
        self.0.synchronize().map_err(CudaError::driver("waiting for the card"))
    }
}
