use super::*;
use crate::init;

#[test]
fn devices_are_written_as_they_are_read() {
    let check = |text: &str, expected: Result<Device, &str>| {
        let found: Result<Device, DeviceError> = text.parse();
        assert_eq!(found.as_ref().map_err(ToString::to_string), expected.as_ref().map_err(ToString::to_string));
        if let Ok(device) = found {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
    };
    check("auto", Ok(Device::Auto));
    check("cpu", Ok(Device::Cpu));
    check("cuda", Ok(Device::Cuda(0)));
    check("cuda:0", Ok(Device::Cuda(0)));
    check("cuda:12", Ok(Device::Cuda(12)));
    for text in ["", "CPU", "gpu", "cuda:", "cuda:-1", "cuda:+1", "cuda: 1", "cuda:x", "cuda:99999999999999999999"] {
        check(text, Err(&format!("'{text}' is no device: auto, cpu, cuda or cuda:N is wanted")));
    }
    for weights in [Weights::F32, Weights::Bf16] {
        assert_eq!(weights.to_string().parse(), Ok(weights));
    }
    assert_eq!("f16".parse::<Weights>(), Err(DeviceError::UnknownWeights("f16".into())));
}

fn place(device: Device, weights: Weights) -> Result<Placed> {
    let config = Config { layers: 1, vocab: 4, ..Config::mamba1(8) };
    RunOptions { device, weights, ..RunOptions::default() }.encoder(&config, &init::fresh(&config, 1)?)
}

fn problem(device: Device, weights: Weights) -> String {
    place(device, weights).map(drop).expect_err("it cannot run there").to_string()
}

#[test]
fn the_cpu_is_the_cpu() {
    let placed = place(Device::Cpu, Weights::F32).unwrap();
    assert_eq!((placed.device, placed.fell_back), (Device::Cpu, None));
    assert_eq!(placed.encoder.route().to_string(), "cpu-f32-1");
    let line = "--weights bf16: a CPU computes in f32; name a GPU, or leave it out";
    assert_eq!(problem(Device::Cpu, Weights::Bf16), line);
}

#[test]
#[cfg(not(feature = "cuda"))]
fn without_the_feature_auto_is_the_cpu_and_a_card_is_refused() {
    let placed = place(Device::Auto, Weights::F32).unwrap();
    assert_eq!((placed.device, placed.fell_back), (Device::Cpu, None));
    let line = "cuda:1: this program was built without GPUs: build it with --features cuda, or use --device cpu";
    assert_eq!(problem(Device::Cuda(1), Weights::F32), line);
    assert!(cards().is_err());
}

#[test]
#[cfg(feature = "cuda")]
fn auto_takes_the_first_card_or_says_why_not() {
    let none = match cards() {
        Ok(cards) if cards.is_empty() => "cuda:0: no such card, there is none here: use --device cpu".to_owned(),
        Ok(cards) => {
            assert!(problem(Device::Cuda(cards.len()), Weights::F32).contains("no such card"));
            return;
        }
        Err(problem) => problem.to_string(),
    };
    let placed = place(Device::Auto, Weights::F32).unwrap();
    assert_eq!((placed.device, placed.fell_back.as_ref()), (Device::Cpu, Some(&none)));
    assert_eq!(problem(Device::Cuda(0), Weights::F32), none);
    assert!(problem(Device::Auto, Weights::Bf16).ends_with(&format!("({none})")), "{none}");
}
