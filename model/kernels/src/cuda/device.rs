//! Finding and opening a card.

use std::{
    collections::BTreeMap,
    env, fs,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use cudarc::{
    driver::{
        CudaContext, CudaFunction, CudaModule, CudaStream, DriverError, result,
        sys::{self, CUdevice_attribute as Attribute, CUresult},
    },
    nvrtc::Ptx,
};

use super::{CudaError, Version, modules::MODULES};

/// The least CUDA that a driver must run: that of the compiler.
pub(super) const LEAST_CUDA: Version = Version(13, 0);
/// The least compute capability: the kernels' general form is compiled for it.
pub(super) const LEAST_CAPABILITY: Version = Version(8, 0);

/// What is known of a card without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// The N of `cuda:N`.
    pub ordinal: usize,
    /// Such as `NVIDIA H100 80GB HBM3`.
    pub name: String,
    /// Compute capability.
    pub capability: Version,
    /// Multiprocessors.
    pub multiprocessors: u32,
    /// Memory in all, bytes.
    pub memory_bytes: u64,
    /// Shared memory that a block may have, bytes.
    pub shared_bytes: u32,
    /// The driver's version, such as `580.95.05`, where the system says it.
    pub driver: Option<String>,
    /// The CUDA that the driver runs.
    pub cuda: Version,
}

/// An open card: its context, a stream, and the modules loaded so far.
///
/// All work of one `Gpu` goes to its one stream, in order. Share it (it is behind an [`Arc`]): a second one on the same
/// card has another stream, and loads the modules again.
pub struct Gpu {
    card: Card,
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    modules: Mutex<BTreeMap<&'static str, Arc<CudaModule>>>,
}

impl Gpu {
    /// How many cards there are.
    ///
    /// # Errors
    /// When there is no driver, or it is too old. A driver without a card is no error: 0.
    pub fn count() -> Result<usize, CudaError> {
        start()?;
        let count = result::device::get_count().map_err(CudaError::driver("counting cards"))?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// All cards, unopened.
    ///
    /// # Errors
    /// When there is no driver, it is too old, or it refuses.
    pub fn cards() -> Result<Vec<Card>, CudaError> {
        (0..Self::count_or_none()?).map(Card::of).collect()
    }

    /// Opens card `ordinal`.
    ///
    /// # Errors
    /// When there is no driver, it is too old, there is no such card, the card is too old or has no memory left.
    pub fn open(ordinal: usize) -> Result<Arc<Self>, CudaError> {
        let count = Self::count_or_none()?;
        if ordinal >= count {
            return Err(CudaError::NoCard { ordinal, count });
        }
        let card = Card::of(ordinal)?;
        if card.capability < LEAST_CAPABILITY {
            return Err(CudaError::OldCard { ordinal, name: card.name, found: card.capability });
        }
        let context = CudaContext::new(ordinal).map_err(|error| match error.0 {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => CudaError::Full { ordinal },
            _ => CudaError::driver("opening the card")(error),
        })?;
        // SAFETY: events would order work on several streams; a Gpu has one, whoever makes another orders the two.
        // Recorded events would stand in the way of captured graphs.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().map_err(CudaError::driver("making a stream"))?;
        Ok(Arc::new(Self { card, context, stream, modules: Mutex::default() }))
    }

    fn count_or_none() -> Result<usize, CudaError> {
        match Self::count() {
            Err(CudaError::NoCard { .. }) => Ok(0),
            count => count,
        }
    }

    /// What is known of the card.
    #[must_use]
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// It has the matrix units and the copy engine of Hopper, which the tuned kernels are written for.
    #[must_use]
    pub fn is_hopper(&self) -> bool {
        self.card.capability == Version(9, 0)
    }

    /// The driver's context.
    #[must_use]
    pub fn context(&self) -> &Arc<CudaContext> {
        &self.context
    }

    /// The one stream.
    #[must_use]
    pub fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// Waits until all work so far is done.
    ///
    /// # Errors
    /// When any of it failed.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.stream.synchronize().map_err(CudaError::driver("waiting for the card"))
    }

    /// A kernel by its `extern "C"` name, of the module that was `src/cuda/<module>.cu`; the module is loaded once.
    ///
    /// # Errors
    /// When there is no such module or kernel in this program, or it was not built for this card.
    pub fn function(&self, module: &str, name: &str) -> Result<CudaFunction, CudaError> {
        self.module(module)?.load_function(name).map_err(|error| match error.0 {
            CUresult::CUDA_ERROR_NOT_FOUND => CudaError::NoKernel(format!("{module}: {name}")),
            _ => CudaError::driver("loading a kernel")(error),
        })
    }

    fn module(&self, name: &str) -> Result<Arc<CudaModule>, CudaError> {
        let (name, bytes) =
            MODULES.iter().find(|(known, _)| *known == name).ok_or_else(|| CudaError::NoKernel(name.to_owned()))?;
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = modules.get(name) {
            return Ok(Arc::clone(module));
        }
        let module = self.context.load_module(Ptx::from_binary(bytes.to_vec())).map_err(|error| match error.0 {
            CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU => CudaError::NotBuilt {
                ordinal: self.card.ordinal,
                module: (*name).to_owned(),
                capability: self.card.capability,
            },
            _ => CudaError::driver("loading kernels")(error),
        })?;
        modules.insert(name, Arc::clone(&module));
        Ok(module)
    }
}

impl Card {
    fn of(ordinal: usize) -> Result<Self, CudaError> {
        let fail = CudaError::driver;
        let number = i32::try_from(ordinal).unwrap_or(i32::MAX);
        let device = result::device::get(number).map_err(fail("looking at the card"))?;
        let attribute = |attribute| -> Result<u32, CudaError> {
            // SAFETY: the device is one that the driver gave.
            let value = unsafe { result::device::get_attribute(device, attribute) };
            Ok(u32::try_from(value.map_err(fail("looking at the card"))?).unwrap_or(0))
        };
        let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        // SAFETY: as above.
        let memory = unsafe { result::device::total_mem(device) }.map_err(fail("looking at the card's memory"))?;
        Ok(Self {
            ordinal,
            name: result::device::get_name(device).map_err(fail("asking for the card's name"))?,
            capability: Version(major, minor),
            multiprocessors: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            memory_bytes: memory as u64,
            shared_bytes: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
            driver: driver_version(),
            cuda: start()?,
        })
    }
}

/// Queues of a card, where the environment does not say otherwise.
const QUEUES: (&str, &str) = ("CUDA_DEVICE_MAX_CONNECTIONS", "32");

/// Gives each lane of a card a queue of its own: of the eight that there are otherwise lanes share some, and wait for what they
/// have nothing to do with. The driver was seen to start a third of a second later for it. It reads this from the environment, so this
/// is for the beginning of `main`; it does nothing once there are other threads.
pub fn more_queues() {
    let alone = fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1);
    if alone && env::var_os(QUEUES.0).is_none() {
        // SAFETY: no other thread reads the environment meanwhile, for there is none.
        unsafe { env::set_var(QUEUES.0, QUEUES.1) };
    }
}

/// Starts the driver, once, and says which CUDA it runs.
fn start() -> Result<Version, CudaError> {
    static STARTED: OnceLock<Result<Version, CudaError>> = OnceLock::new();
    STARTED.get_or_init(try_start).clone()
}

fn try_start() -> Result<Version, CudaError> {
    // SAFETY: loading the driver's library runs its initialisers, which is what using it takes. Asked first, because
    // cudarc panics where it is missing.
    if !unsafe { sys::is_culib_present() } {
        return Err(CudaError::NoDriver);
    }
    let mut number = 0;
    // SAFETY: the pointer is to a local of the right type; this call needs no initialised driver.
    let asked = unsafe { sys::cuDriverGetVersion(&raw mut number) };
    asked.result().map_err(CudaError::driver("asking for the driver's version"))?;
    let number = u32::try_from(number).unwrap_or(0);
    // 1000 * major + 10 * minor
    let found = Version(number / 1000, number % 1000 / 10);
    if found < LEAST_CUDA {
        return Err(CudaError::OldDriver { found });
    }
    result::init().map_err(|error: DriverError| match error.0 {
        CUresult::CUDA_ERROR_NO_DEVICE => CudaError::NoCard { ordinal: 0, count: 0 },
        _ => CudaError::driver("starting the driver")(error),
    })?;
    Ok(found)
}

/// The driver's version, as its kernel module says it.
fn driver_version() -> Option<String> {
    let text = fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    version_in(&text).map(str::to_owned)
}

/// The version in `NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  ...`.
fn version_in(text: &str) -> Option<&str> {
    let line = text.lines().find(|line| line.starts_with("NVRM version:"))?;
    line.split_whitespace().find(|word| word.contains('.') && word.split('.').all(|part| part.parse::<u32>().is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_driver_says_its_version() {
        let open = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (dvs-builder@U22)\n\
                    GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n";
        assert_eq!(version_in(open), Some("580.95.05"));
        assert_eq!(version_in("NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.10  Thu"), Some("570.86.10"));
        assert_eq!(version_in("GCC version:  gcc version 12.2.0"), None);
    }

    /// On a machine without a driver this is the line that users read; with one, all cards can be looked at.
    #[test]
    fn cards_or_one_clear_line() {
        match Gpu::cards() {
            Ok(cards) => {
                let missing = Gpu::open(cards.len()).map(drop).expect_err("there is no such card");
                assert_eq!(missing, CudaError::NoCard { ordinal: cards.len(), count: cards.len() });
                assert!(cards.iter().all(|card| !card.name.is_empty() && card.memory_bytes > 0), "{cards:?}");
            }
            Err(error) => {
                assert_eq!(Gpu::open(0).map(drop), Err(error.clone()));
                assert!(!error.to_string().contains('\n'), "{error}");
            }
        }
    }

    /// Every module of this program loads on every card that it was built for.
    #[test]
    fn modules_load() {
        let cards = Gpu::cards().unwrap_or_else(|problem| {
            eprintln!("no module is loaded here: {problem}");
            vec![]
        });
        for card in cards {
            let gpu = Gpu::open(card.ordinal).expect("opens");
            for name in crate::cuda::module_names() {
                match gpu.module(name) {
                    Ok(_) => (),
                    Err(CudaError::NotBuilt { .. }) => assert_ne!(card.capability, Version(9, 0), "{name}"),
                    Err(error) => panic!("{name}: {error}"),
                }
            }
            assert_eq!(gpu.function("nothing", "of it").map(drop), Err(CudaError::NoKernel("nothing".into())));
        }
    }
}
