//! Published figures of frozen models on the tasks.
//!
//! AUC of mean token embeddings with a random forest: Feng and others, "Benchmarking DNA foundation models for genomic and
//! genetic tasks", Nature Communications 16:10780 (2025), table 1 (rows Promoter All, NonTATA and TATA 70 bps, Promoter TATA
//! 300 bps, Human TFBS 1 to 5). Their tasks carry GUE's names and sizes; that their splits are these is not stated there.

/// A model's AUC on the nine tasks of GUE, in the order of [`super::TASKS`].
pub struct Frozen {
    /// Its name.
    pub name: &'static str,
    /// AUC by task.
    pub auc: [f64; 9],
}

/// The models.
pub const FROZEN: [Frozen; 4] = [
    frozen("Caduceus-Ph", [0.8748, 0.8961, 0.8103, 0.76, 0.8796, 0.8687, 0.8249, 0.7725, 0.9294]),
    frozen("HyenaDNA", [0.832, 0.8516, 0.7827, 0.8077, 0.8301, 0.8205, 0.7875, 0.7149, 0.9159]),
    frozen("DNABERT-2", [0.8311, 0.8531, 0.7781, 0.7646, 0.8382, 0.821, 0.7896, 0.726, 0.9204]),
    frozen("NT-v2", [0.8527, 0.8729, 0.7947, 0.7791, 0.8315, 0.809, 0.7974, 0.7103, 0.9149]),
];

const fn frozen(name: &'static str, auc: [f64; 9]) -> Frozen {
    Frozen { name, auc }
}
