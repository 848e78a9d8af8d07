//! Which region of a file, and which of its reads, the conditions of a query are about.

use datafusion::{
    common::ScalarValue,
    logical_expr::{BinaryExpr, Expr, Operator, utils::split_conjunction},
};
use unspool_ingest::reads::ReadFilter;

/// What of a file's rows the conditions leave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The reference, or the record.
    name: Option<String>,
    /// 0-based, the first place of a row.
    first: Option<u64>,
    /// 0-based, the last one.
    last: Option<u64>,
}

impl Wanted {
    /// Of conditions that must all hold; `name` and `place` are the columns that regions are about.
    pub(super) fn of<'a>(conditions: impl Iterator<Item = &'a Expr>, (name, place): (&str, Option<&str>)) -> Self {
        let mut wanted = Self::default();
        for condition in conditions.flat_map(split_conjunction) {
            let Some((column, operator, value)) = comparison(condition) else { continue };
            match (column == name, Some(column) == place, operator) {
                (true, _, Operator::Eq) => wanted.name = text(value),
                (_, true, operator) => wanted.narrow(operator, number(value)),
                _ => (),
            }
        }
        wanted
    }

    fn narrow(&mut self, operator: Operator, value: Option<u64>) {
        let Some(value) = value else { return };
        let (first, last) = match operator {
            Operator::Eq => (Some(value), Some(value)),
            Operator::Gt => (Some(value.saturating_add(1)), None),
            Operator::GtEq => (Some(value), None),
            Operator::Lt => (None, Some(value.saturating_sub(1))),
            Operator::LtEq => (None, Some(value)),
            _ => return,
        };
        self.first = self.first.max(first);
        self.last = [self.last, last].into_iter().flatten().min();
    }

    /// As a region: 1-based, closed. `None`: it could be anywhere.
    pub(super) fn region(&self) -> Option<String> {
        let name = self.name.as_ref()?;
        let first = self.first.unwrap_or(0).saturating_add(1);
        Some(match self.last {
            None if first == 1 => name.clone(),
            None => format!("{name}:{first}-"),
            Some(last) => format!("{name}:{first}-{}", last.saturating_add(1).max(first)),
        })
    }
}

/// Which reads conditions that must all hold leave: `mapping_quality >= 30`, `flag & 4 = 0`, `flag & 2 = 2`.
pub(super) fn filter(conditions: &[Expr]) -> ReadFilter {
    let mut filter = ReadFilter::default();
    for condition in conditions.iter().flat_map(split_conjunction) {
        if let Some(("mapping_quality", operator, value)) = comparison(condition) {
            let least = match operator {
                Operator::Gt => number(value).map(|value| value.saturating_add(1)),
                Operator::GtEq | Operator::Eq => number(value),
                _ => None,
            };
            let least = u8::try_from(least.unwrap_or(0)).unwrap_or(u8::MAX);
            filter.least_mapping_quality = filter.least_mapping_quality.max(least);
        }
        match flag_bits(condition) {
            Some((bits, 0)) => filter.excluded_flags |= bits,
            Some((bits, value)) if bits == value => filter.required_flags |= bits,
            _ => (),
        }
    }
    filter
}

/// Of `flag & BITS = VALUE` the two.
fn flag_bits(condition: &Expr) -> Option<(u16, u16)> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { return None };
    let (and, value) = match (bare(left), bare(right)) {
        (and, Expr::Literal(value, _)) | (Expr::Literal(value, _), and) => (and, value),
        _ => return None,
    };
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::BitwiseAnd, right }) = and else { return None };
    let bits = match (bare(left), bare(right)) {
        (Expr::Column(column), Expr::Literal(bits, _)) | (Expr::Literal(bits, _), Expr::Column(column))
            if column.name == "flag" =>
        {
            bits
        }
        _ => return None,
    };
    let small = |value| u16::try_from(number(value)?).ok();
    Some((small(bits)?, small(value)?))
}

/// A column compared with a constant.
fn comparison(condition: &Expr) -> Option<(&str, Operator, &ScalarValue)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return None };
    match (bare(left), bare(right)) {
        (Expr::Column(column), Expr::Literal(value, _)) => Some((&column.name, *op, value)),
        (Expr::Literal(value, _), Expr::Column(column)) => Some((&column.name, op.swap()?, value)),
        _ => None,
    }
}

fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(cast) => bare(&cast.expr),
        expr => expr,
    }
}

fn text(value: &ScalarValue) -> Option<String> {
    value.try_as_str().flatten().map(str::to_owned)
}

fn number(value: &ScalarValue) -> Option<u64> {
    match value.cast_to(&arrow::datatypes::DataType::UInt64) {
        Ok(ScalarValue::UInt64(value)) => value,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    #[test]
    fn conditions_become_filters() {
        let check = |conditions: &[Expr], (required_flags, excluded_flags, least_mapping_quality)| {
            let expected = ReadFilter { required_flags, excluded_flags, least_mapping_quality };
            assert_eq!(filter(conditions), expected, "{conditions:?}");
        };
        let and = |bits: i64| {
            Expr::BinaryExpr(BinaryExpr {
                left: Box::new(col("flag")),
                op: Operator::BitwiseAnd,
                right: Box::new(lit(bits)),
            })
        };
        let quality = || col("mapping_quality");
        check(&[], (0, 0, 0));
        check(&[quality().gt_eq(lit(30_i64)), and(4).eq(lit(0_i64)), and(3).eq(lit(3_i64))], (3, 4, 30));
        check(&[and(256).eq(lit(0_i64)).and(lit(0_i64).eq(and(2048))), quality().gt(lit(9_u8))], (0, 2304, 10));
        check(&[and(3).eq(lit(1_i64)), quality().lt(lit(9_i64)), and(4).not_eq(lit(0_i64))], (0, 0, 0));
        check(&[quality().gt(lit(30_i64)).or(and(4).eq(lit(0_i64)))], (0, 0, 0));
        check(&[quality().gt_eq(lit(3000_i64)), and(70_000).eq(lit(0_i64)), and(0).eq(lit(0_i64))], (0, 0, 255));
        check(&[quality().gt(lit(-5_i64))], (0, 0, 0));
    }

    #[test]
    fn conditions_become_regions() {
        let check = |conditions: &[Expr], expected: Option<&str>| {
            let wanted = Wanted::of(conditions.iter(), ("reference", Some("position")));
            assert_eq!(wanted.region().as_deref(), expected, "{conditions:?}");
        };
        let chr1 = || col("reference").eq(lit("chr1"));
        check(&[], None);
        check(&[col("position").gt(lit(5_i64))], None);
        check(&[chr1()], Some("chr1"));
        check(&[lit("chr1").eq(col("reference"))], Some("chr1"));
        check(&[col("reference").not_eq(lit("chr1"))], None);
        check(&[chr1().or(col("id").eq(lit("x")))], None);
        check(&[chr1(), col("position").gt_eq(lit(9_u64)), col("position").lt(lit(20_i64))], Some("chr1:10-20"));
        check(
            &[chr1().and(col("position").gt(lit(9_u64))).and(lit(19_u64).gt_eq(col("position")))],
            Some("chr1:11-20"),
        );
        check(&[chr1(), col("position").eq(lit(9_u64))], Some("chr1:10-10"));
        check(&[chr1(), col("position").gt(lit(30_u64)), col("position").gt(lit(9_u64))], Some("chr1:32-"));
        check(&[chr1(), col("position").lt(lit(0_u64))], Some("chr1:1-1"));
        check(&[chr1(), col("position").gt(lit(-1_i64))], Some("chr1"));
    }
}
