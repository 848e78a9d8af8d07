//! A page of forecasts: history, median and fan of each series, in one HTML file that needs nothing else.

pub(crate) mod axis;
mod figure;

use std::fmt::Write as _;

use unspool_ingest::schema::TimeKind;

use super::gather::Track;

/// What is said above the figures.
pub(crate) struct About {
    /// Such as the model and the horizon.
    pub(crate) lines: Vec<String>,
    /// Levels of the quantiles, growing.
    pub(crate) levels: Vec<f64>,
    /// How times are written.
    pub(crate) time: TimeKind,
}

/// How a page looks.
pub(crate) const STYLE: &str = "body{margin:2rem auto;max-width:1000px;padding:0 1rem;background:#fff;color:#222;font:15px/1.45 system-ui,sans-serif}\
h1{font-size:1.35rem;margin:0 0 .2rem}p{margin:.1rem 0;color:#555}\
figure{margin:1.4rem 0;padding-top:1rem;border-top:1px solid #e4e7eb}figcaption{font-weight:600;margin:0 0 .3rem .3rem}\
svg{width:100%;height:auto;display:block}ul{list-style:none;margin:.8rem 0 0;padding:0;display:flex;flex-wrap:wrap;gap:.3rem 1.4rem}\
li span{display:inline-block;width:1.7rem;height:.75rem;margin-right:.45rem;vertical-align:-.05rem}";

/// The page.
pub(super) fn page(about: &About, tracks: &[Track]) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Forecasts</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>Forecasts</h1>\n"
    );
    for line in &about.lines {
        let _ = writeln!(html, "<p>{}</p>", escape(line));
    }
    html += &figures(about, tracks);
    html + "</body>\n</html>\n"
}

/// The figures of a page, with what the colours mean.
pub(crate) fn figures(about: &About, tracks: &[Track]) -> String {
    let mut html = legend(&about.levels);
    for track in tracks {
        let _ = writeln!(html, "<figure>\n<figcaption>{}</figcaption>", escape(&track.id));
        match figure::svg(about, track) {
            Ok(svg) => html += &svg,
            Err(reason) => {
                let _ = writeln!(html, "<p>{}</p>", escape(&reason));
            }
        }
        html += "</figure>\n";
    }
    html
}

/// What the colours mean.
fn legend(levels: &[f64]) -> String {
    let item = |style: String, text: &str| format!("<li><span style=\"{style}\"></span>{text}</li>\n");
    let line = |colour: &str| format!("height:3px;vertical-align:.25rem;background:{colour}");
    let mut html = String::from("<ul>\n") + &item(line(&figure::css(figure::GREY)), "history");
    if levels.iter().any(|level| figure::is_median(*level)) {
        html += &item(line(&figure::css(figure::BLUE)), "median");
    }
    for (band, (low, high)) in figure::bands(levels).into_iter().enumerate() {
        let text = format!("{} to {} %", percent(levels[low]), percent(levels[high]));
        html += &item(format!("background:{}", figure::css(figure::shade(band))), &text);
    }
    html + "</ul>\n"
}

fn percent(level: f64) -> f64 {
    (level * 1e8).round() / 1e6
}

/// Text in HTML.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests;
