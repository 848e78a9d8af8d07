//! AdamW on the card, and what a run remembers of its steps.

use cudarc::driver::{CudaSlice, result};

use super::{Address, Training, TrainingError, args, launch, layout::Tensor, pass::TrainingGradients};
use crate::{
    cuda::CudaError,
    training::{AdamStep, Report},
};

/// Moments of the gradients, and the running average of the weights, on the card.
pub struct Moments {
    m: CudaSlice<f32>,
    v: CudaSlice<f32>,
    average: CudaSlice<f32>,
    decays: CudaSlice<u8>,
    sums: CudaSlice<f64>,
}

/// Numbers of a report on the card; the last is the step's own.
pub(super) const REPORTED: usize = 5;

impl Training {
    /// Fresh moments; the average begins at the weights. `decays`: of each tensor, in order, whether it decays.
    ///
    /// # Errors
    /// When memory does not suffice, or there are not as many as tensors.
    pub fn moments(&self, decays: &[bool]) -> Result<Moments, TrainingError> {
        let (gpu, len) = (&self.launcher.gpu, self.layout.len);
        self.same_count(decays.len())?;
        let mut all = vec![0.0; len];
        for (tensor, &decays) in self.layout.tensors.iter().zip(decays) {
            tensor.put(&vec![f32::from(u8::from(decays)); tensor.len()], &mut all);
        }
        let decays: Vec<u8> = all.iter().map(|&decays| u8::from(decays > 0.0)).collect();
        let what = "moments of gradients";
        let zeros = || gpu.zeros(what, len);
        let (m, v, average, sums) = (zeros()?, zeros()?, zeros()?, gpu.zeros(what, launch::f64_sums(len))?);
        let moments = Moments { m, v, average, decays: gpu.upload(what, &decays)?, sums };
        let weights = self.staging.copy_out(gpu, self.address(&self.weights), len, [1, 1])?;
        self.staging.copy_in(gpu, &weights, [1, 1], self.address(&moments.average))?;
        Ok(moments)
    }

    /// The weights and the moments m, v and the average, each as tensors in order.
    ///
    /// # Errors
    /// When the driver refuses, or a kernel failed.
    pub fn read(&self, moments: &Moments) -> Result<[Vec<Vec<f32>>; 4], TrainingError> {
        let mut all = [const { vec![] }; 4];
        let from = [&self.weights, &moments.m, &moments.v, &moments.average];
        for (tensors, from) in all.iter_mut().zip(from) {
            let values = self.staging.copy_out(&self.launcher.gpu, self.address(from), self.layout.len, [1, 1])?;
            *tensors = self.layout.tensors.iter().map(|tensor| tensor.get(&values)).collect();
        }
        Ok(all)
    }

    /// Takes over weights and moments as [`Self::read`] gave them.
    ///
    /// # Errors
    /// When a size is not the shape's, or the card refuses.
    pub fn write(&mut self, moments: &Moments, [weights, m, v, average]: [&[&[f32]]; 4]) -> Result<(), TrainingError> {
        self.set_weights(weights)?;
        for (tensors, to) in [(m, &moments.m), (v, &moments.v), (average, &moments.average)] {
            let all = self.padded(tensors)?;
            self.staging.copy_in(&self.launcher.gpu, &all, [1, 1], self.address(to))?;
        }
        Ok(())
    }

    /// Adds gradients to others, of another batch of the same step.
    ///
    /// # Errors
    /// When either is another backbone's, or the driver refuses.
    pub fn add(&self, sum: &TrainingGradients, gradients: &TrainingGradients) -> Result<(), TrainingError> {
        self.own(sum.of())?;
        self.own(gradients.of())?;
        let [a, b] = [sum, gradients].map(|gradients| self.address(&gradients.weights));
        self.launcher.add_to(a, b, self.layout.len)
    }

    /// Moves the weights, the moments and the average on. A gradient that is not finite moves nothing, and is reported.
    ///
    /// # Errors
    /// When the gradients are another backbone's, or the driver refuses.
    pub fn step(
        &mut self,
        gradients: &TrainingGradients,
        moments: &mut Moments,
        step: AdamStep,
    ) -> Result<(), TrainingError> {
        self.own(gradients.of())?;
        let (l, len, gradients) = (&self.launcher, self.layout.len, self.address(&gradients.weights));
        let report = self.address(&self.report);
        l.report_norm((gradients, len), self.address(&moments.sums), report)?;
        let AdamStep { rate, beta1, beta2, eps, decay, clip, keep, step } = step;
        let correction = |beta: f32| (1.0 - libm::pow(f64::from(beta), step as f64)) as f32;
        l.adam(args::Adam {
            weights: self.address(&self.weights),
            m: self.address(&moments.m),
            v: self.address(&moments.v),
            average: self.address(&moments.average),
            gradients,
            decays: self.address(&moments.decays),
            report,
            count: launch::int(len),
            rate,
            beta1,
            beta2,
            eps,
            decay,
            correction1: correction(beta1),
            correction2: correction(beta2),
            clip,
            keep,
        })?;
        self.prepare()
    }

    /// What happened since the last call.
    ///
    /// # Errors
    /// When the driver refuses, or a kernel failed.
    pub fn report(&mut self) -> Result<Report, TrainingError> {
        let gpu = &self.launcher.gpu;
        let mut found = [0.0f64; REPORTED];
        let address: Address = self.address(&self.report);
        let failed = CudaError::driver("reading the report of training");
        gpu.context().bind_to_thread().map_err(CudaError::driver("turning to the card"))?;
        // SAFETY: the report has so many numbers, and the copy is waited for.
        unsafe { result::memcpy_dtoh_async(&mut found, address, gpu.stream().cu_stream()) }.map_err(failed)?;
        gpu.synchronize()?;
        // SAFETY: as above.
        unsafe { result::memset_d8_async(address, 0, size_of_val(&found), gpu.stream().cu_stream()) }
            .map_err(CudaError::driver("clearing the report of training"))?;
        let [loss, norms, largest, skipped, _] = found;
        Ok(Report { loss, norms, largest, skipped: skipped as u64 })
    }

    fn same_count(&self, count: usize) -> Result<(), TrainingError> {
        let expected = self.layout.tensors.len();
        let same = (count == expected).then_some(());
        same.ok_or_else(|| TrainingError::Input(format!("{count} tensors; this shape has {expected}")))
    }

    /// Tensors in their padded places.
    pub(super) fn padded(&self, tensors: &[&[f32]]) -> Result<Vec<f32>, TrainingError> {
        self.same_count(tensors.len())?;
        let mut all = vec![0.0; self.layout.len];
        for (i, (tensor, values)) in self.layout.tensors.iter().zip(tensors).enumerate() {
            if tensor.len() != values.len() {
                let problem = format!("tensor {i} has {} values; this shape has {}", values.len(), Tensor::len(tensor));
                return Err(TrainingError::Input(problem));
            }
            tensor.put(values, &mut all);
        }
        Ok(all)
    }
}
