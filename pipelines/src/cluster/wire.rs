//! What a driver and an executor say to each other: postcard, packed with zstd, behind the version of the program.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use unspool_model::Model;

use crate::batch::{
    encode::{Order, Ran, Work},
    reads::{
        ReadsOrder,
        records::{Embedded, Records},
    },
};

const MAGIC: &[u8; 8] = b"UNSPCLU1";
/// The program's version: its own messages are all that it understands.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The level of zstd: values halve at hardly any cost.
const LEVEL: i32 = 1;

/// An executor's model, and where it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The model's name.
    pub model: String,
    /// The model's digest.
    pub digest: String,
    /// How numbers are computed: bits are equal along one route only.
    pub route: String,
    /// The device.
    pub device: String,
    /// Tokens of a pack that suit it.
    pub pack_tokens: usize,
}

impl About {
    /// What is to be said of a model.
    #[must_use]
    pub fn of(model: &Model, pack_tokens: usize) -> Self {
        let info = model.info();
        Self {
            model: info.name.clone(),
            digest: info.digest.to_string(),
            route: info.route.to_string(),
            device: info.device.to_string(),
            pack_tokens,
        }
    }
}

/// What a driver asks.
#[derive(Serialize, Deserialize)]
pub(super) enum Ask {
    /// Who is there?
    About,
    /// Run these series, by that model on that route.
    Series { digest: String, route: String, order: Order, works: Vec<Work> },
    /// Run these records likewise.
    Reads { digest: String, route: String, order: ReadsOrder, records: Records },
}

/// What an executor says.
#[derive(Serialize, Deserialize)]
pub(super) enum Reply {
    About(About),
    Series(Vec<Ran>),
    Reads(Embedded),
}

/// The bytes of a message.
///
/// # Errors
/// When it cannot leave the process, or memory does not suffice.
pub(super) fn pack<T: Serialize>(message: &T) -> Result<Vec<u8>, String> {
    let plain = postcard::to_stdvec(message).map_err(|error| error.to_string())?;
    let packed = zstd::bulk::compress(&plain, LEVEL).map_err(|error| error.to_string())?;
    let mut bytes = Vec::with_capacity(packed.len() + 32);
    bytes.extend_from_slice(MAGIC);
    bytes.push(u8::try_from(VERSION.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(VERSION.as_bytes());
    bytes.extend_from_slice(&(plain.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&packed);
    Ok(bytes)
}

/// A message of these bytes.
///
/// # Errors
/// When they are those of another version, or damaged.
pub(super) fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let damaged = || "a message is damaged".to_owned();
    let (len, rest) = bytes.strip_prefix(MAGIC).and_then(<[u8]>::split_first).ok_or_else(damaged)?;
    let (version, rest) = rest.split_at_checked(usize::from(*len)).ok_or_else(damaged)?;
    if version != VERSION.as_bytes() {
        let there = String::from_utf8_lossy(version);
        return Err(format!("a message is of unspool {there}, this is {VERSION}: run the same version everywhere"));
    }
    let (len, packed) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
    let len = usize::try_from(u64::from_le_bytes(*len)).unwrap_or(usize::MAX);
    if len > MOST_PLAIN_BYTES {
        return Err(damaged());
    }
    let plain = zstd::bulk::decompress(packed, len).map_err(|_| damaged())?;
    postcard::from_bytes(&plain).map_err(|_| damaged())
}

/// The longest message before it is packed, in bytes.
const MOST_PLAIN_BYTES: usize = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        batch::encode::{Answer, Kept, Start},
        stream::emit::Give,
    };

    #[test]
    fn messages_arrive_as_they_were_sent_or_not_at_all() {
        let values = vec![1.5, f64::NAN, -0.0, f64::from_bits(0x7ff8_0000_0000_0001)];
        let work = Work {
            number: 7,
            start: Start::Saved(vec![1, 2, 3]),
            values: values.clone(),
            fresh: 2,
            keep: true,
            held: vec![0.25],
        };
        let order = Order { give: Give::Forecast { horizon: 3 }, answers: true };
        let ask = Ask::Series { digest: "d".into(), route: "r".into(), order, works: vec![work] };
        let bytes = pack(&ask).unwrap();
        let Ok(Ask::Series { works, order, .. }) = unpack(&bytes) else { panic!("it was packed") };
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let [work] = &works[..] else { panic!("one was sent") };
        assert_eq!((work.number, work.fresh, work.keep), (7, 2, true));
        assert_eq!((bits(&work.values), bits(&work.held)), (bits(&values), bits(&[0.25])));
        assert!(matches!(&work.start, Start::Saved(state) if state == &[1, 2, 3]));
        assert_eq!((order.give, order.answers), (Give::Forecast { horizon: 3 }, true));

        let ran = Ran {
            number: 7,
            state: Some(Kept::Saved(vec![9])),
            scores: values.clone(),
            answer: Some(Answer::Embedding(Some(vec![0.5]), 11)),
        };
        let Ok(Reply::Series(ran)) = unpack(&pack(&Reply::Series(vec![ran])).unwrap()) else { panic!("as before") };
        assert_eq!(bits(&ran[0].scores), bits(&values));
        assert!(matches!(&ran[0].answer, Some(Answer::Embedding(Some(row), 11)) if row == &[0.5]));

        for cut in [0, 7, 8, 9, 12, bytes.len() - 1] {
            assert_eq!(unpack::<Ask>(&bytes[..cut]).err().unwrap(), "a message is damaged", "{cut}");
        }
        let mut other = bytes;
        other[9] = b'9';
        let error = unpack::<Ask>(&other).err().unwrap();
        assert!(error.contains("run the same version everywhere"), "{error}");
    }
}
