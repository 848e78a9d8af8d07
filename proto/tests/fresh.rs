//! The committed code is what the `.proto` files give. `UNSPOOL_PROTO_WRITE=1` writes it anew.

use std::{
    fs,
    path::{Path, PathBuf},
};

use prost::Message;

/// Every `.proto` file of the package, sorted, relative to the crate.
fn sources(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root.join("unspool/v1")).expect("the folder of the package");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    names.iter().map(|name| Path::new("unspool/v1").join(name)).collect()
}

/// Generates code and descriptors into `out`; returns (generated, committed) files.
fn generate(root: &Path, out: &Path) -> [(PathBuf, PathBuf); 2] {
    let mut compiler = protox::Compiler::new([root]).expect("the include folder");
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(sources(root)).expect("the files compile");
    fs::write(out.join("unspool.v1.binpb"), compiler.encode_file_descriptor_set()).expect("writes");
    let descriptors = compiler.file_descriptor_set();
    tonic_prost_build::configure().out_dir(out).compile_fds(descriptors).expect("generates");
    ["src/unspool.v1.rs", "unspool.v1.binpb"].map(|committed| {
        let name = Path::new(committed).file_name().expect("a name");
        (out.join(name), root.join(committed))
    })
}

#[test]
fn the_generated_code_is_committed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir().expect("a folder");
    for (generated, committed) in generate(root, out.path()) {
        let generated = fs::read(generated).expect("was generated");
        if std::env::var_os("UNSPOOL_PROTO_WRITE").is_some() {
            fs::write(&committed, &generated).expect("writes");
        }
        let committed_bytes = fs::read(&committed).unwrap_or_default();
        let remedy = "run UNSPOOL_PROTO_WRITE=1 cargo test -p unspool-proto";
        assert!(generated == committed_bytes, "{} is stale: {remedy}", committed.display());
    }
}

/// Every message, field, enum, value, service and call is described.
#[test]
fn every_part_has_a_comment() {
    let set = prost_types::FileDescriptorSet::decode(unspool_proto::DESCRIPTOR_SET).expect("descriptors");
    for file in set.file.iter().filter(|file| file.package() == "unspool.v1") {
        let info = file.source_code_info.as_ref().expect("comments were kept");
        for location in &info.location {
            // [4, i, (2, j)]: message and field; [5, ..]: enum and value; [6, ..]: service and call.
            let names_a_part = matches!(location.path[..], [4..=6, _] | [4..=6, _, 2, _]);
            let described = location.leading_comments.as_ref().is_some_and(|text| !text.trim().is_empty());
            assert!(!names_a_part || described, "{}: {:?} has no comment", file.name(), location.path);
        }
    }
}
