//! Files of reads and contigs as tables: only the columns, and where there is an index only the region, that a query is about.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableFunctionArgs, TableFunctionImpl, TableProvider},
    common::ScalarValue,
    error::{DataFusionError, Result},
    execution::TaskContext,
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_plan::{
        ExecutionPlan, SendableRecordBatchStream,
        stream::RecordBatchStreamAdapter,
        streaming::{PartitionStream, StreamingTableExec},
    },
};
use futures::stream::try_unfold;
use unspool_ingest::{
    Batch, Source, Threaded,
    objects::is_url,
    reads::{self, ReadFilter, ReadFormat, ReadOptions, TagColumn},
    schema,
};

use super::{
    error::wrapped,
    region::{self, Wanted},
    shared::Shared,
};

/// `read_fasta('FILES')`, `read_bam('FILES', 'chr1:1-5000')`, `read_cram('FILES', 'reference=REF.fa', 'tags=NM:i,RG:Z')` and
/// their like.
#[derive(Debug)]
pub(super) struct ReadFiles {
    name: &'static str,
    format: ReadFormat,
    shared: Arc<Shared>,
}

impl ReadFiles {
    /// The functions.
    pub(super) fn all(shared: &Arc<Shared>) -> [Self; 5] {
        let of = |name, format| Self { name, format, shared: Arc::clone(shared) };
        [
            of("read_fasta", ReadFormat::Fasta),
            of("read_fastq", ReadFormat::Fastq),
            of("read_sam", ReadFormat::Sam),
            of("read_bam", ReadFormat::Bam),
            of("read_cram", ReadFormat::Cram),
        ]
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }
}

impl TableFunctionImpl for ReadFiles {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        let name = self.name;
        let text = |expr: &Expr| match expr {
            Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)), _) => Ok(text.clone()),
            other => Err(DataFusionError::Plan(format!("{name}: {other} is no text: write {name}('FILE')"))),
        };
        let [files, more @ ..] = args.exprs() else {
            let problem = format!("{name}: no arguments: write {name}('FILE') or {name}('FILE', 'chr1:1-5000')");
            return Err(DataFusionError::Plan(problem));
        };
        let mut options = ReadOptions { format: Some(self.format), ..ReadOptions::default() };
        for argument in more {
            let argument = text(argument)?;
            said(&mut options, &argument)
                .map_err(|problem| DataFusionError::Plan(format!("{name}: '{argument}': {problem}")))?;
        }
        let paths = files_of(name, &text(files)?)?;
        let schema = reads::schema(&options.tags);
        Ok(Arc::new(Table { paths, options, schema, shared: Arc::clone(&self.shared) }))
    }
}

/// Takes in what an argument after the files says: `reference=REF.fa`, `tags=NM:i,RG:Z`, or else a region.
fn said(options: &mut ReadOptions, argument: &str) -> std::result::Result<(), String> {
    if let Some(path) = argument.strip_prefix("reference=") {
        options.reference = Some(path.into());
    } else if let Some(tags) = argument.strip_prefix("tags=") {
        options.tags = tags.split(',').map(TagColumn::parse).collect::<std::result::Result<Vec<_>, _>>()?;
        let mut names: Vec<_> = options.tags.iter().map(|tag| tag.tag).collect();
        names.sort_unstable();
        if names.windows(2).any(|two| two[0] == two[1]) {
            return Err("a tag gives one column".into());
        }
    } else if options.region.replace(argument.into()).is_some() {
        return Err("one region can be read".into());
    }
    Ok(())
}

/// The files that a name or a pattern names, by name.
fn files_of(function: &str, pattern: &str) -> Result<Vec<PathBuf>> {
    if is_url(pattern) {
        return Ok(vec![pattern.into()]);
    }
    let wrong = |problem: &str| DataFusionError::Plan(format!("{function}('{pattern}'): {problem}"));
    if PathBuf::from(pattern).is_file() {
        return Ok(vec![pattern.into()]);
    }
    let paths = glob::glob(pattern).map_err(|error| wrong(error.msg))?;
    let mut paths: Vec<PathBuf> = paths.filter_map(Result::ok).filter(|path| path.is_file()).collect();
    paths.sort();
    if paths.is_empty() { Err(wrong("there is no such file")) } else { Ok(paths) }
}

/// Files of one format.
#[derive(Debug)]
struct Table {
    paths: Vec<PathBuf>,
    /// How they are read, of all columns.
    options: ReadOptions,
    schema: SchemaRef,
    shared: Arc<Shared>,
}

impl Table {
    /// Whether its records have flags and mapping qualities.
    fn is_aligned(&self) -> bool {
        matches!(self.options.format, Some(ReadFormat::Sam | ReadFormat::Bam | ReadFormat::Cram))
    }

    /// The columns that regions are about, where the format has regions: a name, and the place of a row.
    fn region_columns(&self) -> Option<(&'static str, Option<&'static str>)> {
        match self.options.format? {
            ReadFormat::Bam | ReadFormat::Cram => Some(("reference", Some("position"))),
            ReadFormat::Fasta => Some(("id", None)),
            _ => None,
        }
    }
}

#[async_trait]
impl TableProvider for Table {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // Regions and flags hold more rows than the conditions leave: they are looked at again.
        let of = if self.is_aligned() || self.region_columns().is_some() {
            TableProviderFilterPushDown::Inexact
        } else {
            TableProviderFilterPushDown::Unsupported
        };
        Ok(vec![of; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let projection = projection.unwrap_or(&all);
        let schema = Arc::new(self.schema.project(projection)?);
        let named = |name: &str| schema.field_with_name(name).is_ok();
        let all_columns = schema::reads();
        let columns = all_columns.fields().iter().map(|field| field.name().clone()).filter(|name| named(name));
        let mut columns: Vec<String> = columns.collect();
        if columns.is_empty() {
            // Rows are counted by something.
            columns.push("last".into());
        }
        let options = ReadOptions {
            columns: Some(columns),
            tags: self.options.tags.iter().copied().filter(|tag| named(&tag.name())).collect(),
            filter: if self.is_aligned() { region::filter(filters) } else { ReadFilter::default() },
            // So many rows are of no more records.
            limit: limit.map(|limit| limit as u64),
            ..self.options.clone()
        };
        let pushed = self.region_columns().and_then(|columns| Wanted::of(filters.iter(), columns).region());
        let groups = state.config().target_partitions().clamp(1, self.paths.len());
        let mut partitions: Vec<Partition> = vec![];
        for group in 0..groups {
            partitions.push(Partition {
                paths: self.paths.iter().skip(group).step_by(groups).cloned().collect(),
                options: options.clone(),
                pushed: pushed.clone(),
                schema: Arc::clone(&schema),
                shared: Arc::clone(&self.shared),
            });
        }
        let partitions = partitions.into_iter().map(|partition| Arc::new(partition) as Arc<dyn PartitionStream>);
        Ok(Arc::new(StreamingTableExec::try_new(schema, partitions.collect(), None, None, false, limit)?))
    }
}

/// Files that are read one after another.
struct Partition {
    paths: Vec<PathBuf>,
    options: ReadOptions,
    /// A region that a query's conditions are about: of use where a file has an index.
    pushed: Option<String>,
    schema: SchemaRef,
    shared: Arc<Shared>,
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files", self.paths.len())
    }
}

impl PartitionStream for Partition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let reading = Reading {
            paths: self.paths.clone().into_iter(),
            options: self.options.clone(),
            pushed: self.pushed.clone(),
            schema: Arc::clone(&self.schema),
            shared: Arc::clone(&self.shared),
            open: None,
        };
        let rows =
            try_unfold(reading, |mut reading| async move { Ok(reading.next().await?.map(|rows| (rows, reading))) });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}

struct Reading {
    paths: std::vec::IntoIter<PathBuf>,
    options: ReadOptions,
    pushed: Option<String>,
    schema: SchemaRef,
    shared: Arc<Shared>,
    open: Option<Threaded>,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let Some(source) = &mut self.open else {
                let Some(path) = self.paths.next() else { return Ok(None) };
                self.open = Some(self.source(&path)?);
                continue;
            };
            match source.next().await.map_err(wrapped)? {
                Some(Batch { rows, rejects, .. }) => {
                    self.shared.reject(rejects);
                    let places = self.schema.fields().iter().map(|field| rows.schema().index_of(field.name()));
                    return Ok(Some(rows.project(&places.collect::<Result<Vec<_>, _>>()?)?));
                }
                None => self.open = None,
            }
        }
    }

    /// Opens a file: at the region that a query is about where it has an index and knows it, else as a whole.
    fn source(&self, path: &Path) -> Result<Threaded> {
        if let (Some(region), None) = (&self.pushed, &self.options.region) {
            let options = ReadOptions { region: Some(region.clone()), ..self.options.clone() };
            if let Ok(source) = reads::open(path, &options) {
                tracing::debug!(path = %path.display(), region, "only a region is read");
                return Ok(source);
            }
        }
        reads::open(path, &self.options).map_err(wrapped)
    }
}
