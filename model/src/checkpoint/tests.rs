use std::{fs, io::Write};

use ::safetensors::{Dtype, tensor::TensorView};
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::*;
use crate::{
    config::{Config, NormKind},
    init::scattered,
    weights::WindowBackbone,
};

fn golden(case: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens")).join(case)
}

/// A directory with these files.
fn dir_of(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

/// Everything from opening to the last tensor; errors with the directory's own name taken out.
fn load(dir: &Path) -> Result<Backbone, String> {
    let load = || {
        let mut checkpoint = Checkpoint::open(dir)?;
        let backbone = checkpoint.backbone()?;
        checkpoint.tensors.finish()?;
        Ok(backbone)
    };
    load().map_err(|error: Error| error.to_string().replace(&dir.display().to_string(), "DIR"))
}

fn tiny() -> Config {
    Config { layers: 1, vocab: 4, ..Config::mamba1(4) }
}

/// A saved tiny model, its tensors changed.
fn tiny_with(change: impl FnOnce(&mut Vec<(String, Vec<usize>, Vec<f32>)>)) -> TempDir {
    let weights = scattered(&tiny(), 1).unwrap();
    let tensors = weights.tensors(&tiny()).into_iter();
    let mut tensors = tensors.map(|(spec, values)| (spec.name, spec.shape, values.to_vec())).collect();
    change(&mut tensors);
    let tensors: Vec<(Spec, &[f32])> =
        tensors.iter().map(|(name, shape, v)| (Spec { name: name.clone(), shape: shape.clone() }, &v[..])).collect();
    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), &tiny().to_json().unwrap(), &tensors).unwrap();
    dir
}

#[test]
fn what_is_saved_loads_the_same() {
    let mamba2 = Config { layers: 2, vocab: 7, tie_embeddings: false, linear_bias: true, ..Config::mamba2(16) };
    let front_end = Config { vocab: 0, conv_bias: false, ..Config::mamba1(16) };
    for config in [tiny(), mamba2, front_end] {
        let weights = scattered(&config, 2).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("new/model");
        save(&model, &config.to_json().unwrap(), &weights.tensors(&config)).unwrap();
        assert_eq!(Checkpoint::open(&model).unwrap().config.backbone, config);
        assert_eq!(load(&model).unwrap(), weights);

        let permissions = |file| fs::metadata(model.join(file)).unwrap().permissions();
        assert_eq!(permissions("model.safetensors"), permissions("config.json"), "readable by the same people");
        let text = fs::read_to_string(model.join("config.json")).unwrap();
        let bytes = fs::read(model.join("model.safetensors")).unwrap();
        let mut checkpoint = Checkpoint::from_bytes(&text, &bytes).unwrap();
        assert_eq!(checkpoint.backbone().unwrap(), weights);
        checkpoint.tensors.finish().unwrap();

        let error = save(&model, &json!({}), &[]).unwrap_err().to_string();
        assert!(
            error.ends_with("config.json: a model is here already; remove it or name another directory"),
            "{error}"
        );
    }
}

#[test]
fn other_tensors_are_left_for_others() {
    let dir = tiny_with(|tensors| tensors.push(("head.up.bias".into(), vec![2], vec![1.0, 2.0])));
    let mut checkpoint = Checkpoint::open(dir.path()).unwrap();
    checkpoint.backbone().unwrap();
    assert_eq!(checkpoint.tensors.shapes().collect::<Vec<_>>(), [("head.up.bias", &[2][..])]);
    assert_eq!(checkpoint.tensors.take_optional("head.down.bias", &[2]).unwrap(), None);
    assert_eq!(checkpoint.tensors.take("head.up.bias", &[2]).unwrap(), [1.0, 2.0]);
    checkpoint.tensors.finish().unwrap();
}

#[test]
fn names_with_other_roots() {
    for (root, head) in [("", "lm_head."), ("model.", "lm_head."), ("model.backbone.", "model.lm_head.")] {
        let dir = tiny_with(|tensors| {
            tensors.push(("lm_head.weight".into(), vec![4, 4], tensors[0].2.clone()));
            for (name, ..) in tensors {
                *name = name.replace("backbone.", root).replace("lm_head.", head);
            }
        });
        assert_eq!(load(dir.path()).unwrap(), scattered(&tiny(), 1).unwrap(), "{root}");
    }
}

#[test]
fn wrong_tensors_are_refused_by_name() {
    type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;
    let check = |change: fn(&mut Tensors), expected: &str| {
        assert_eq!(load(tiny_with(change).path()).unwrap_err(), expected);
    };
    fn at<'a>(tensors: &'a mut Tensors, end: &str) -> &'a mut (String, Vec<usize>, Vec<f32>) {
        tensors.iter_mut().find(|(name, ..)| name.ends_with(end)).unwrap()
    }
    check(
        |tensors| tensors.retain(|(name, ..)| !name.ends_with("A_log")),
        "tensor 'backbone.layers.0.mixer.A_log': expected shape [8, 16], found no tensor of this name",
    );
    check(
        |tensors| at(tensors, "A_log").1 = vec![16, 8],
        "tensor 'backbone.layers.0.mixer.A_log': expected shape [8, 16], found [16, 8]",
    );
    check(
        |tensors| at(tensors, "embedding.weight").1 = vec![16],
        "tensor 'backbone.embeddings.weight': expected shape [4, 4], found [16]",
    );
    check(
        |tensors| at(tensors, "mixer.D").2[3] = f32::NAN,
        "tensor 'backbone.layers.0.mixer.D': expected shape [8], found value 3 is NaN, not a finite number in f32",
    );
    check(
        |tensors| tensors.push(("lm_head.weight".into(), vec![4, 4], vec![0.5; 16])),
        "tensor 'lm_head.weight': expected shape [4, 4], \
         found values other than the embedding's, to which the configuration ties it",
    );
    check(
        |tensors| tensors.push(("backbone.layers.1.norm.weight".into(), vec![4], vec![1.0; 4])),
        "unknown tensors: backbone.layers.1.norm.weight",
    );
    check(
        |tensors| tensors.extend((0..10).map(|i| (format!("x{i}"), vec![1], vec![1.0]))),
        "unknown tensors: x0, x1, x2, x3, x4, x5, x6, x7 and 2 more",
    );
    let whole = TensorView::new(Dtype::I64, vec![1], &[0; 8]).unwrap();
    let bytes = ::safetensors::serialize([("count", whole)], None).unwrap();
    let mut tensors = Checkpoint::from_bytes(&tiny().to_json().unwrap().to_string(), &bytes).unwrap().tensors;
    let error = tensors.take("count", &[1]).unwrap_err().to_string();
    assert_eq!(error, "tensor 'count': expected shape [1], found values of type I64, not one of BF16, F16, F32, F64");
}

#[test]
fn every_type_of_value_is_read() {
    let halves = [0x3c00u16.to_le_bytes(), 0xc100u16.to_le_bytes()].concat(); // 1, -2.5 as f16
    let brains = [0x3f80u16.to_le_bytes(), 0xc020u16.to_le_bytes()].concat();
    let singles = [1f32.to_le_bytes(), (-2.5f32).to_le_bytes()].concat();
    let doubles = [1f64.to_le_bytes(), (-2.5f64).to_le_bytes()].concat();
    for (dtype, bytes) in [(Dtype::F16, halves), (Dtype::BF16, brains), (Dtype::F32, singles), (Dtype::F64, doubles)] {
        let view = TensorView::new(dtype, vec![2, 1], &bytes).unwrap();
        let file = ::safetensors::serialize([("x", view)], None).unwrap();
        let mut tensors = Checkpoint::from_bytes(&tiny().to_json().unwrap().to_string(), &file).unwrap().tensors;
        assert_eq!(tensors.take("x", &[2, 1]).unwrap(), [1.0, -2.5], "{dtype}");
    }
}

#[test]
fn a_directory_that_is_no_model() {
    let check = |files: &[(&str, &[u8])], expected: &str| {
        assert_eq!(load(dir_of(files).path()).unwrap_err(), expected);
    };
    let config = tiny().to_json().unwrap().to_string();
    let config = ("config.json", config.as_bytes());
    check(&[], "DIR: not a model: a model's directory has a config.json");
    check(
        &[config],
        "DIR: not a model: its tensors are in one of model.safetensors, model.safetensors.index.json, \
         pytorch_model.bin, pytorch_model.bin.index.json, consolidated.safetensors",
    );
    check(&[("config.json", b"\xff{}")], "DIR/config.json: not valid UTF-8");
    check(
        &[("config.json", b"{}")],
        "DIR/config.json: not a model's configuration that is known here: it has neither 'model_type' nor 'd_model' nor 'dim'",
    );
    let missing = load(Path::new("/nowhere/at all")).unwrap_err();
    assert_eq!(missing, "DIR: No such file or directory (os error 2)");

    let safetensors = |bytes: &[u8], expected: &str| {
        check(&[config, ("model.safetensors", bytes)], &format!("DIR/model.safetensors: {expected}"));
    };
    safetensors(b"", "not a safetensors file: it has only 0 bytes");
    safetensors(b"PK\x03\x04PK\x03\x04", "not a safetensors file: its header would have 289157608118635344 bytes");
    safetensors(&[9, 0, 0, 0, 0, 0, 0, 0, b'{'], "truncated: 9 bytes, and its header ends at byte 17");
    safetensors(b"\x02\0\0\0\0\0\0\0{]", "header: key must be a string at line 1 column 2");
    safetensors(b"\x02\0\0\0\0\0\0\0{}more", "too long: 14 bytes, where its header tells of 10");
    let huge = br#"{"x":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#;
    let huge = [&(huge.len() as u64).to_le_bytes()[..], huge].concat();
    safetensors(&huge, "header: overflow computing buffer size from shape and/or element type");
}

#[test]
fn shards_that_do_not_fit_their_index() {
    let check = |index: &str, expected: &str| {
        let config = tiny().to_json().unwrap().to_string();
        let shard = fs::read(tiny_with(|_| ()).path().join("model.safetensors")).unwrap();
        let files = [
            ("config.json", config.as_bytes()),
            ("model.safetensors.index.json", index.as_bytes()),
            ("a.safetensors", &shard),
            ("b.safetensors", &shard),
        ];
        let found = load(dir_of(&files).path()).err();
        assert_eq!(found.as_deref(), Some(expected).filter(|text| !text.is_empty()));
    };
    let index = "DIR/model.safetensors.index.json";
    check(r#"{"weight_map": {"backbone.norm_f.weight": "a.safetensors"}}"#, "");
    check("[", &format!("{index}: index: EOF while parsing a list at line 1 column 1"));
    check("{}", &format!("{index}: index: missing field `weight_map` at line 1 column 2"));
    for path in ["../a.safetensors", "/etc/passwd", "x/a.safetensors", "", ".."] {
        let expected = format!("{index}: '{path}' is not a file's name: shards lie beside their index");
        check(&format!(r#"{{"weight_map": {{"x": "{path}"}}}}"#), &expected);
    }
    check(r#"{"weight_map": {"x": "c.safetensors"}}"#, "DIR/c.safetensors: No such file or directory (os error 2)");
    check(
        r#"{"weight_map": {"x": "a.safetensors"}}"#,
        &format!("{index}: tensor 'x' should be in 'a.safetensors', but is not"),
    );
    check(
        r#"{"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}"#,
        "DIR/b.safetensors: tensor 'backbone.embeddings.weight' is in more than one file, or twice in one",
    );
}

#[test]
fn shards_of_pickle() {
    let whole = golden("a-mamba1-odd");
    let (config, bytes) = (whole.join("config.json"), fs::read(whole.join("pytorch_model.bin")).unwrap());
    let index = br#"{"metadata": {}, "weight_map": {"lm_head.weight": "pytorch_model-00001-of-00001.bin"}}"#;
    let files = [
        ("config.json", &fs::read(config).unwrap()[..]),
        ("pytorch_model.bin.index.json", index),
        ("pytorch_model-00001-of-00001.bin", &bytes),
    ];
    assert_eq!(load(dir_of(&files).path()).unwrap(), load(&whole).unwrap());
}

#[test]
fn the_layout_of_codestral() {
    let config = Config { layers: 2, vocab: 4, tie_embeddings: false, ..Config::mamba2(32) };
    let weights = scattered(&config, 3).unwrap();
    let params = br#"{"dim": 32, "n_layers": 2, "vocab_size": 4, "n_groups": 1, "tie_embeddings": false}"#;
    let tensors = weights.tensors(&config).into_iter().map(|(spec, values)| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        (format!("model.{}", spec.name), spec.shape, bytes)
    });
    let tensors: Vec<_> = tensors.collect();
    let views =
        tensors.iter().map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    let file = ::safetensors::serialize(views, None).unwrap();
    let dir = dir_of(&[("params.json", params), ("consolidated.safetensors", &file)]);
    assert_eq!(load(dir.path()).unwrap(), weights);
}

/// A zip file of these members.
fn zipped(method: CompressionMethod, members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in members {
        writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// The pickle of `{"x": tensor of 2 f32 in storage "0"}` from `offset` on.
fn pickled(offset: u8, shape: u8, stride: u8) -> Vec<u8> {
    let begin = b"\x80\x02}X\x01\0\0\0xctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n\
        X\x01\0\0\x000X\x03\0\0\0cpuK\x02tQK";
    let rest = [offset, b'K', shape, 0x85, b'K', stride, 0x85, 0x89, b'}', b't', b'R', b's', b'.'];
    [&begin[..], &rest].concat()
}

#[test]
fn pytorch_files() {
    let open = |bytes: &[u8]| {
        let config = tiny().to_json().unwrap().to_string();
        let dir = dir_of(&[("config.json", config.as_bytes()), ("pytorch_model.bin", bytes)]);
        let opened = Checkpoint::open(dir.path()).and_then(|mut checkpoint| checkpoint.tensors.take("x", &[2]));
        opened.map_err(|error| error.to_string().replace(&dir.path().display().to_string(), "DIR"))
    };
    let data = [1f32.to_le_bytes(), 2.5f32.to_le_bytes()].concat();
    let stored = CompressionMethod::Stored;
    let whole = |pickle: &[u8]| zipped(stored, &[("a/data.pkl", pickle), ("a/data/0", &data)]);
    assert_eq!(open(&whole(&pickled(0, 2, 1))).unwrap(), [1.0, 2.5]);
    let little = [("a/data.pkl", &pickled(0, 2, 1)[..]), ("a/data/0", &data), ("a/byteorder", b"little")];
    assert_eq!(open(&zipped(stored, &little)).unwrap(), [1.0, 2.5]);

    let check = |bytes: &[u8], expected: &str| {
        assert_eq!(open(bytes).unwrap_err(), format!("DIR/pytorch_model.bin: {expected}"));
    };
    let not_zip = "not a whole zip file: truncated, or written before PyTorch 1.6 (load and save it again)";
    check(b"", not_zip);
    check(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", not_zip);
    check(&whole(&pickled(0, 2, 1))[..200], not_zip);
    check(&zipped(stored, &[]), "not a PyTorch file: 0 members 'data.pkl'");
    check(&zipped(stored, &[("a/data.pkl", b""), ("b/data.pkl", b"")]), "not a PyTorch file: 2 members 'data.pkl'");
    check(&zipped(stored, &[("data.pkl", &pickled(0, 2, 1))]), "tensor 'x': its storage 'data/0' is missing");
    check(&whole(b"\x80\x02]."), "expected a dictionary of tensors");
    check(&whole(&pickled(1, 2, 1)), "tensor 'x': shape [2] is more than its storage holds, 8 bytes");
    check(&whole(&pickled(0, 200, 1)), "tensor 'x': shape [200] is more than its storage holds, 8 bytes");
    check(&whole(&pickled(0, 2, 7)), "tensor 'x': its values are not in row-major order (strides [7])");
    let big = [("a/data.pkl", &pickled(0, 2, 1)[..]), ("a/data/0", &data), ("a/byteorder", b"big")];
    check(&zipped(stored, &big), "its values are big-endian; save it again on a little-endian machine");
    let long = vec![b'N'; (4 << 20) + 1];
    check(&whole(&long), "'a/data.pkl' has 4194305 bytes; at most 4194304 are read");
    let mut damaged = whole(&pickled(0, 2, 1));
    let at = damaged.windows(8).position(|bytes| bytes == &data[..]).unwrap();
    damaged[at] ^= 1;
    check(&damaged, "tensor 'x' cannot be read: Invalid checksum");
}

#[test]
fn a_cut_anywhere_is_an_error() {
    for (case, file) in [("a-mamba1-odd", "pytorch_model.bin"), ("b-mamba-bf16", "model.safetensors")] {
        let config = fs::read(golden(case).join("config.json")).unwrap();
        let bytes = fs::read(golden(case).join(file)).unwrap();
        let dir = dir_of(&[("config.json", &config)]);
        for cut in (0..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
            fs::write(dir.path().join(file), &bytes[..cut]).unwrap();
            assert!(load(dir.path()).is_err(), "{case} cut at {cut}");
        }
        fs::write(dir.path().join(file), &bytes).unwrap();
        load(dir.path()).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Any outcome but a panic: a changed weight is no error in safetensors, which have no checksum.
    #[test]
    fn damage_never_panics(pickled: bool, flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..6)) {
        let (case, file) = if pickled { ("a-mamba1-odd", "pytorch_model.bin") } else { ("b-mamba-bf16", "model.safetensors") };
        let config = fs::read(golden(case).join("config.json")).unwrap();
        let mut bytes = fs::read(golden(case).join(file)).unwrap();
        for (at, flip) in flips {
            // Half of the damage goes to the beginning, where the headers are.
            let at = if flip % 2 == 0 { at.index(bytes.len()) } else { at.index(2000) };
            bytes[at] ^= flip;
        }
        let _ = load(dir_of(&[("config.json", &config), (file, &bytes)]).path());
    }
}

#[test]
fn a_layer_norm_has_biases() {
    let config = Config { norm: NormKind::Layer, ..tiny() };
    let weights = scattered(&config, 1).unwrap();
    assert!(weights.tensors(&config).iter().any(|(spec, _)| spec.name == "backbone.norm_f.bias"));
    assert!(weights.check(&tiny()).is_err());
}

/// A model of whole windows, its tensors changed before it is opened; errors with the directory's own name taken out.
fn windows_with(
    case: &str,
    change: impl FnOnce(&mut Vec<(String, Vec<usize>, Dtype, Vec<u8>)>),
) -> Result<WindowBackbone, String> {
    let bytes = fs::read(golden(case).join("model.safetensors")).unwrap();
    let file = ::safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<_> = file
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, view.shape().to_vec(), view.dtype(), view.data().to_vec()))
        .collect();
    change(&mut tensors);
    let views = tensors
        .iter()
        .map(|(name, shape, dtype, bytes)| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    let config = fs::read(golden(case).join("config.json")).unwrap();
    let dir =
        dir_of(&[("config.json", &config), ("model.safetensors", &::safetensors::serialize(views, None).unwrap())]);
    let opened = WindowCheckpoint::open(dir.path()).and_then(WindowCheckpoint::backbone);
    opened.map_err(|error| error.to_string().replace(&dir.path().display().to_string(), "DIR"))
}

/// What directions share may be stored once, by either name, or twice; a head and a classifier may be there.
#[test]
fn windows_are_the_same_however_they_are_stored() {
    let ph = windows_with("f-caduceus-ph", |_| ()).unwrap();
    let other = |name: &str| name.replace("mamba_fwd", "mamba_rev");
    let shared = |name: &str| name.contains("in_proj") || name.contains("out_proj");
    let renamed = windows_with("f-caduceus-ph", |tensors| {
        tensors.iter_mut().filter(|tensor| shared(&tensor.0)).for_each(|tensor| tensor.0 = other(&tensor.0));
    });
    assert_eq!(renamed.unwrap(), ph);
    let twice = |tensors: &mut Vec<(String, Vec<usize>, Dtype, Vec<u8>)>| {
        let copies: Vec<_> = tensors.iter().filter(|tensor| shared(&tensor.0)).cloned().collect();
        tensors.extend(copies.into_iter().map(|copy| (other(&copy.0), copy.1, copy.2, copy.3)));
        let head = tensors.iter().find(|tensor| tensor.0.contains("word_embeddings")).unwrap().clone();
        tensors.push(("lm_head.weight".into(), head.1, head.2, head.3));
        tensors.push(("score.weight".into(), vec![2, 12], Dtype::F32, vec![0; 96]));
    };
    assert_eq!(windows_with("f-caduceus-ph", twice).unwrap(), ph);
    let head_alone = windows_with("f-caduceus-ph", |tensors| {
        tensors.iter_mut().find(|tensor| tensor.0.contains("word_embeddings")).unwrap().0 = "lm_head.weight".into();
    });
    assert_eq!(head_alone.unwrap(), ph);
    let untied = |name: &'static str| {
        windows_with("f-caduceus-ph", |tensors| {
            twice(tensors);
            tensors.iter_mut().find(|tensor| tensor.0 == name).unwrap().3[0] ^= 1;
        })
    };
    for name in ["lm_head.weight", "caduceus.backbone.layers.0.mixer.mamba_rev.in_proj.weight"] {
        let error = untied(name).unwrap_err();
        assert!(error.contains(name) && error.contains("to which the configuration ties it"), "{error}");
    }
}

#[test]
fn windows_that_do_not_fit_are_refused() {
    type Change = fn(&mut Vec<u8>);
    let cases: [(&str, &str, Change, &str); 3] = [
        ("f-caduceus-ps", "lm_head.complement_map", |bytes| bytes[56] = 9, "lm_head.complement_map"),
        ("f-caduceus-ps", "lm_head.complement_map", |bytes| bytes[63] = 128, "other values than the configuration's"),
        (
            "f-caduceus-ps",
            "caduceus.backbone.norm_f.weight",
            |bytes| bytes[2..4].copy_from_slice(&[0xc0, 0x7f]),
            "not a finite",
        ),
    ];
    for (case, name, change, expected) in cases {
        let error = windows_with(case, |tensors| {
            change(&mut tensors.iter_mut().find(|tensor| tensor.0 == name).unwrap().3);
        });
        let error = error.unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let missing = windows_with("f-caduceus-ph", |tensors| tensors.retain(|tensor| !tensor.0.ends_with("mamba_rev.D")));
    assert!(missing.unwrap_err().contains("no tensor of this name"));
    let more = windows_with("f-caduceus-ph", |tensors| tensors.push(("more".into(), vec![1], Dtype::F32, vec![0; 4])));
    assert_eq!(more.unwrap_err(), "unknown tensors: more");
    let error = Checkpoint::open(&golden("f-caduceus-ph")).err().unwrap().to_string();
    assert!(error.contains("cannot carry a state, stream, score or forecast"), "{error}");
    let error = WindowCheckpoint::open(&golden("a-mamba1")).err().unwrap().to_string();
    assert!(error.contains("'model_type' \"caduceus\" is expected, found None"), "{error}");
}
