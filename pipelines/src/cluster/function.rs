//! The function by which groups reach an executor: bytes in, bytes out.
//!
//! It has the same name everywhere, and does something on executors only: plans travel, functions do not.

use std::{
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{array::BinaryArray, datatypes::DataType};
use datafusion::{
    error::{DataFusionError, Result},
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility},
};
use unspool_model::Model;

use super::wire::{About, Ask, Reply, pack, unpack};
use crate::batch::{encode, reads::records};

/// What stands before and behind an executor's own words in an error.
const MARKS: (&str, &str) = ("<<unspool ", " unspool>>");
/// What stands between an executor's name and what it says.
const SAYS: &str = " says: ";

/// What an executor runs groups with.
pub(super) struct Runner {
    pub model: Arc<Model>,
    pub pack_tokens: usize,
    /// The executor, for people.
    pub name: String,
    /// Held while the model computes: it takes all threads, or the card, by itself. Meanwhile another group travels.
    pub turn: Mutex<()>,
}

impl Runner {
    /// Does what is asked.
    ///
    /// # Errors
    /// When it is another model's matter, or the model refuses.
    fn answer(&self, ask: &[u8]) -> Result<Vec<u8>, String> {
        let about = About::of(&self.model, self.pack_tokens);
        let ask = unpack(ask)?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let reply = match ask {
            Ask::About => Reply::About(about),
            Ask::Series { digest, route, order, works } => {
                about.fits(&digest, &route)?;
                let patch = self.model.series_shape().map_or(1, |shape| shape.patch);
                let ran = encode::run(&self.model, &order, (works, self.pack_tokens.saturating_mul(patch)));
                let ran = ran.and_then(|ran| ran.into_iter().map(|ran| ran.saved(&self.model)).collect());
                Reply::Series(ran.map_err(|error| error.to_string())?)
            }
            Ask::Reads { digest, route, order, records } => {
                about.fits(&digest, &route)?;
                let embedded = records::run(&self.model, &order, (records, self.pack_tokens));
                Reply::Reads(embedded.map_err(|error| error.to_string())?)
            }
        };
        pack(&reply)
    }
}

impl About {
    /// Refuses another model, or another route.
    fn fits(&self, digest: &str, route: &str) -> Result<(), String> {
        if self.digest != digest {
            let (here, there) = (&self.digest[..12.min(self.digest.len())], &digest[..12.min(digest.len())]);
            let model = &self.model;
            return Err(format!(
                "it runs {model} ({here}), the job is for another model ({there}): start it with --model"
            ));
        }
        if self.route != route {
            let (here, device) = (&self.route, &self.device);
            let problem = format!("it computes by {here} on {device}, others by {route}");
            return Err(format!(
                "{problem}: bits are the same on one route only, so start all executors with one --device"
            ));
        }
        Ok(())
    }
}

/// The function.
#[derive(Debug)]
pub(super) struct RunGroup {
    runner: Option<Arc<Runner>>,
    signature: Signature,
}

impl RunGroup {
    /// The function as it is registered: of an executor with what it runs groups with.
    pub(super) fn function(runner: Option<Arc<Runner>>) -> ScalarUDF {
        // Volatile: nobody is to compute it beforehand.
        let signature = Signature::exact(vec![DataType::Binary], Volatility::Volatile);
        ScalarUDF::new_from_impl(Self { runner, signature })
    }
}

impl ScalarUDFImpl for RunGroup {
    fn name(&self) -> &str {
        "unspool_run"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let runner = self.runner.as_ref();
        let runner = runner.ok_or_else(|| DataFusionError::Execution("it runs on executors".into()))?;
        let asks = args.args.first().map(|ask| ask.to_array(args.number_rows)).transpose()?;
        let asks = asks.as_deref().and_then(|asks| asks.as_any().downcast_ref::<BinaryArray>());
        let asks = asks.ok_or_else(|| DataFusionError::Execution("it takes one column of bytes".into()))?;
        let reply = |ask: &[u8]| {
            let said = |problem| {
                let (begin, end) = MARKS;
                DataFusionError::Execution(format!("{begin}{}{SAYS}{problem}{end}", runner.name))
            };
            runner.answer(ask).map_err(said)
        };
        let replies = asks.iter().map(|ask| reply(ask.unwrap_or_default())).collect::<Result<Vec<_>>>()?;
        Ok(ColumnarValue::Array(Arc::new(BinaryArray::from_iter_values(replies))))
    }
}

/// Which executor said what, if an error is one of its own words; the engine tells it through texts.
pub(super) fn said(error: &str) -> Option<(String, String)> {
    let (begin, end) = MARKS;
    let words = error.split_once(begin)?.1.split_once(end)?.0;
    let (name, problem) = words.split_once(SAYS)?;
    // Texts are quoted on their way.
    let plain = |text: &str| text.replace("\\\"", "\"").replace("\\'", "'");
    Some((plain(name), plain(problem)))
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The same function, wherever it is.
impl PartialEq for RunGroup {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for RunGroup {}

impl Hash for RunGroup {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}
