//! What a measurement ran on.

use std::{collections::BTreeMap, fs};

use unspool_model::{Device, device::cards};

/// The processor's or the card's name, and the card's driver with the CUDA that it runs.
pub(super) fn names(device: Device) -> (String, Option<String>) {
    let card = cards().unwrap_or_default().into_iter().find(|card| device == Device::Cuda(card.ordinal));
    let driver = card
        .as_ref()
        .map(|card| format!("driver {} (CUDA {})", card.driver.as_deref().unwrap_or("of unknown version"), card.cuda));
    (card.map_or_else(processor, |card| card.name), driver)
}

/// The processor's name, as Linux says.
fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let fields: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.split_once(':')).map(|(key, value)| (key.trim(), value.trim())).collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{} ({cores} cores)", fields.get("model name").unwrap_or(&"a processor without a name"))
}
