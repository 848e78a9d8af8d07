//! With the feature `cuda`: compiles `src/cuda/*.cu` with nvcc, and writes the table of what came of it.
//!
//! A file is compiled for the architectures of `UNSPOOL_CUDA_ARCH` (default `90a`: H100, H200), and once more to PTX for
//! compute capability 8.0, which the driver of any other card translates. A file whose first line is `// arch: sm_90a`
//! uses what only that architecture has, and is compiled for it alone.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::Mutex,
    thread,
};

/// What is compiled for where nothing else is asked for.
const ARCH: &str = "90a";
/// The PTX for all other cards, and the least that is supported.
const PTX: u32 = 80;

type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return ExitCode::SUCCESS;
    }
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            for line in problem.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<()> {
    let sources = PathBuf::from("src/cuda");
    println!("cargo::rerun-if-changed={}", sources.display());
    for name in ["CUDA_HOME", "PATH", "UNSPOOL_CUDA_ARCH", "UNSPOOL_NVCC_FLAGS"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo gives OUT_DIR")?);
    let nvcc = Nvcc::find()?;
    let kernels = with_extension(&sources, "cu")?;
    let headers = with_extension(&sources, "cuh")?.iter().map(|path| read(path)).collect::<Result<String>>()?;
    let queue = Mutex::new(kernels.iter());
    let jobs = env::var("NUM_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(1);
    let problems = Mutex::new(vec![]);
    thread::scope(|scope| {
        for _ in 0..kernels.len().min(jobs) {
            scope.spawn(|| {
                while let Some(kernel) = queue.lock().ok().and_then(|mut queue| queue.next()) {
                    if let (Err(problem), Ok(mut problems)) = (nvcc.compile(kernel, &headers, &out), problems.lock()) {
                        problems.push(problem);
                    }
                }
            });
        }
    });
    let problems = problems.into_inner().unwrap_or_default();
    if !problems.is_empty() {
        return Err(problems.join("\n"));
    }
    let entries = kernels.iter().map(|kernel| {
        let fatbin = out.join(format!("{}.fatbin", name(kernel)));
        format!("    ({:?}, include_bytes!({:?})),\n", name(kernel), fatbin.display().to_string())
    });
    let table = format!("&[\n{}]\n", entries.collect::<String>());
    write(&out.join("modules.rs"), &table)
}

/// The compiler, and what it compiles for.
struct Nvcc {
    path: PathBuf,
    version: String,
    /// Such as `80`, `90a`.
    archs: Vec<String>,
    flags: Vec<String>,
}

impl Nvcc {
    /// `$CUDA_HOME/bin/nvcc`, else the one of `PATH`.
    fn find() -> Result<Self> {
        let path = match env::var_os("CUDA_HOME") {
            Some(home) => PathBuf::from(home).join("bin/nvcc"),
            None => "nvcc".into(),
        };
        let version = Command::new(&path).arg("--version").output().map_err(|error| {
            format!(
                "the feature `cuda` needs NVIDIA's compiler nvcc, version 13 ({}: {error}): set CUDA_HOME to a CUDA toolkit, or \
                 run `.ci/cuda-toolkit.sh DIR` and `source DIR/env`, which needs no GPU",
                path.display()
            )
        })?;
        let version = String::from_utf8_lossy(&version.stdout).into_owned();
        if !version.contains("release 13.") {
            let found = version.lines().find(|line| line.contains("release")).unwrap_or("no release is named");
            return Err(format!("the feature `cuda` needs nvcc of CUDA 13; {} says: {found}", path.display()));
        }
        let archs = env::var("UNSPOOL_CUDA_ARCH").unwrap_or_else(|_| ARCH.into());
        let archs = archs.split(',').map(arch).collect::<Result<_>>()?;
        let flags = env::var("UNSPOOL_NVCC_FLAGS").unwrap_or_default();
        Ok(Self { path, version, archs, flags: flags.split_whitespace().map(str::to_owned).collect() })
    }

    /// Compiles one file to `out/<its name>.fatbin`, unless that is there and nothing has changed.
    fn compile(&self, source: &Path, headers: &str, out: &Path) -> Result<()> {
        let text = read(source)?;
        let fatbin = out.join(format!("{}.fatbin", name(source)));
        let mut command = Command::new(&self.path);
        command.args(["-fatbin", "-O3", "--std=c++17"]).args(self.targets(&text)).args(&self.flags);
        command.arg(source).arg("-o").arg(&fatbin);
        let key = format!("{command:?}\n{}\n{headers}\n{text}", self.version);
        let key_file = fatbin.with_extension("key");
        if fatbin.exists() && fs::read_to_string(&key_file).is_ok_and(|known| known == key) {
            return Ok(());
        }
        let done = command.output().map_err(|error| format!("{}: {error}", self.path.display()))?;
        let said = [done.stdout, done.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        if !done.status.success() {
            return Err(format!("nvcc, {}:\n{said}", source.display()));
        }
        for line in said.lines().filter(|line| !line.trim().is_empty()) {
            println!("cargo::warning={line}");
        }
        write(&key_file, &key)
    }

    /// `-gencode` for each architecture that the file is compiled for.
    fn targets(&self, source: &str) -> Vec<String> {
        let first = source.lines().next().unwrap_or_default();
        if let Some(arch) = first.strip_prefix("// arch: sm_") {
            return vec![gencode(arch.trim(), "sm")];
        }
        let native = self.archs.iter().map(|arch| gencode(arch, "sm"));
        native.chain([gencode(&PTX.to_string(), "compute")]).collect()
    }
}

fn gencode(arch: &str, code: &str) -> String {
    format!("-gencode=arch=compute_{arch},code={code}_{arch}")
}

/// An architecture as it was typed, such as `80` or `90a`.
fn arch(text: &str) -> Result<String> {
    let text = text.trim();
    match text.trim_end_matches(['a', 'f']).parse::<u32>() {
        Ok(number) if number >= PTX => Ok(text.into()),
        _ => Err(format!("UNSPOOL_CUDA_ARCH: '{text}' is no architecture of {PTX} or more, such as 80, 90a or 80,90a")),
    }
}

/// The files of a folder with this extension, sorted.
fn with_extension(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let fail = |error: io::Error| format!("{}: {error}", folder.display());
    let paths = fs::read_dir(folder).map_err(fail)?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<io::Result<Vec<_>>>().map_err(fail)?;
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    Ok(paths)
}

/// The file's name without its extension.
fn name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
