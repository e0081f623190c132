//! A [`Page`] as the bytes of one file.
//!
//! Invariant: every text of the page passes through [`html`] or, inside the data of the script, through [`script`].

use std::fmt::Write as _;

use super::escape::{clip, html, script};
use super::figures;
use super::page::{Finding, Page, Table, Tone};
use crate::report::explain::Explanation;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("picture.js");
/// Nothing is loaded from anywhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// Characters of a sentence, and of what one operation or reason may take.
const SENTENCE: usize = 4_000;
const ACTOR: usize = 400;
/// Notes that are shown.
const REMARKS: usize = 100;

/// The file.
pub fn render(page: &Page) -> String {
    let mut text = String::with_capacity(1 << 16);
    let title = html(&page.title);
    text.push_str("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    let _ = write!(
        text,
        "<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title} - raftcheck</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
    );
    head(&mut text, page);
    text.push_str("<main>\n");
    let (found, others): (Vec<&Finding>, Vec<&Finding>) =
        page.findings.iter().partition(|finding| !finding.explanation.actors.is_empty());
    found.iter().for_each(|finding| counterexample(&mut text, finding));
    viewer(&mut text, page);
    over_time(&mut text, page);
    verdicts(&mut text, &others);
    remarks(&mut text, page);
    page.tables.iter().for_each(|one| table(&mut text, one));
    text.push_str("</main>\n");
    let _ = writeln!(
        text,
        "<footer>raftcheck {} · one file, which loads nothing from anywhere</footer>",
        env!("CARGO_PKG_VERSION")
    );
    let data = serde_json::to_string(&page.picture).unwrap_or_else(|_| "null".to_owned());
    let _ = write!(
        text,
        "<script type=\"application/json\" id=\"data\">{}</script>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        script(&data)
    );
    text
}

fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Unclear => "unclear",
    }
}

fn head(text: &mut String, page: &Page) {
    let _ = write!(
        text,
        "<header>\n<div class=\"bar\"><h1>{}</h1><button id=\"theme\" type=\"button\" hidden>theme</button></div>\n<p \
         class=\"result\"><span class=\"pill {}\">{}</span> {}</p>\n<dl class=\"facts\">",
        html(&page.title),
        class(page.tone),
        html(&page.word),
        html(&page.headline)
    );
    for (name, value) in &page.facts {
        let _ = write!(text, "<div><dt>{}</dt><dd>{}</dd></div>", html(name), html(value));
    }
    text.push_str("</dl>\n");
    if let Some(command) = &page.repeat {
        let _ = writeln!(
            text,
            "<p class=\"repeat\"><span>Repeat it with</span> <code id=\"command\">{}</code> <button id=\"copy\" type=\"button\" \
             hidden>copy</button></p>",
            html(command)
        );
    }
    text.push_str("</header>\n");
}

fn counterexample(text: &mut String, finding: &Finding) {
    let explanation = &finding.explanation;
    let _ = write!(
        text,
        "<section class=\"found\"><h2>{} <span class=\"pill {}\">{}</span> <small>{}</small></h2>\n<p class=\"sentence\">{}</p>\n",
        html(&explanation.property),
        class(finding.tone),
        html(&finding.word),
        html(&clip(&finding.note, ACTOR)),
        html(&clip(&explanation.sentence, SENTENCE))
    );
    if let Some(tab) = finding.tab {
        let _ = writeln!(
            text,
            "<p class=\"jump\" hidden><button type=\"button\" data-tab=\"{tab}\">Show it in the picture</button></p>"
        );
    }
    text.push_str(&figures::sketch(explanation));
    let _ = match explanation.sketch.skipped {
        0 => writeln!(text, "<p class=\"hint\">In the order of time, not to scale.</p>"),
        _ => writeln!(
            text,
            "<p class=\"hint\">The last {} of them, in the order of time, not to scale.</p>",
            explanation.sketch.bars.len()
        ),
    };
    actors(text, explanation);
    circle(text, explanation);
    points(text, explanation);
    text.push_str("</section>\n");
}

fn actors(text: &mut String, explanation: &Explanation) {
    if explanation.left_out > 0 {
        let _ =
            write!(text, "<p class=\"hint\">{} earlier operations are left out.</p>", explanation.left_out);
    }
    text.push_str(
        "<div class=\"scroll\"><table class=\"core\"><thead><tr><th></th><th>who</th><th>when</th><th>what</th></tr></thead><tbody>\n",
    );
    for actor in &explanation.actors {
        let _ = writeln!(
            text,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"num\">{}</td><td class=\"what\">{}</td></tr>",
            html(&actor.letter),
            html(&actor.who),
            html(&figures::when(actor, explanation.clock)),
            html(&clip(&actor.what, ACTOR))
        );
    }
    text.push_str("</tbody></table></div>\n");
}

fn circle(text: &mut String, explanation: &Explanation) {
    let Some(first) = explanation.cycle.first() else { return };
    let _ = write!(text, "<h3>The circle</h3>\n<p class=\"circle\"><b>{}</b>", html(&first.from));
    for arrow in &explanation.cycle {
        let _ = write!(
            text,
            " <span class=\"arrow\"><i>{}</i> ⟶</span> <b>{}</b>",
            html(arrow.kind),
            html(&arrow.to)
        );
    }
    text.push_str("</p>\n<ol>");
    for arrow in &explanation.cycle {
        let _ = write!(
            text,
            "<li><b>{}</b> before <b>{}</b> ({}): {}</li>",
            html(&arrow.from),
            html(&arrow.to),
            html(arrow.kind),
            html(&clip(&arrow.why, ACTOR))
        );
    }
    text.push_str("</ol>\n");
}

fn points(text: &mut String, explanation: &Explanation) {
    text.push_str("<div class=\"points\">");
    for point in &explanation.points {
        let _ = write!(text, "<div><h3>{}</h3><ul>", html(point.heading));
        for line in &point.lines {
            let _ = write!(text, "<li>{}</li>", html(&clip(line, ACTOR)));
        }
        text.push_str("</ul></div>");
    }
    text.push_str("</div>\n");
}

/// What the script fills. Without it a reader learns why there is nothing.
fn viewer(text: &mut String, page: &Page) {
    if page.picture.tabs.is_empty() {
        return;
    }
    text.push_str(
        "<section id=\"picture\"><h2>The picture</h2>\n<noscript><p class=\"hint\">The picture needs a script. Everything that \
         was found is in words and tables on this page without it. It covers:</p><ul>",
    );
    for tab in &page.picture.tabs {
        let _ = write!(
            text,
            "<li>{}: {} of {} {} ({})</li>",
            html(&tab.label),
            tab.items.len(),
            tab.total,
            tab.unit,
            html(&figures::extent(tab.drawn, page.picture.lines))
        );
    }
    text.push_str("</ul></noscript>\n<div id=\"viewer\"></div>\n</section>\n");
}

fn over_time(text: &mut String, page: &Page) {
    let figure = figures::timeline(&page.timeline, &page.picture);
    if figure.is_empty() {
        return;
    }
    text.push_str("<section><h2>Over time</h2>\n");
    text.push_str(&figure);
    text.push_str("<p class=\"legend\"><span class=\"key fill-ok\"></span>answered <span class=\"key fill-failed\"></span>failed \
                   <span class=\"key fill-unknown\"></span>unknown");
    if !page.picture.lines {
        text.push_str(" <span class=\"key line-median\"></span>median latency <span class=\"key line-p99\"></span>99th percentile");
    }
    if !page.timeline.gaps.is_empty() {
        text.push_str(" <span class=\"key fill-gap\"></span>nothing answered");
    }
    if !page.picture.bands.is_empty() {
        text.push_str(" <span class=\"key fill-band\"></span>fault");
    }
    if page.picture.marks.iter().any(|mark| mark.kind == "leader") {
        text.push_str(" <span class=\"key triangle\"></span>new leader");
    }
    text.push_str("</p></section>\n");
}

fn verdicts(text: &mut String, findings: &[&Finding]) {
    if findings.is_empty() {
        return;
    }
    text.push_str("<section><h2>Other verdicts</h2>\n");
    for finding in findings {
        let explanation = &finding.explanation;
        let _ = write!(
            text,
            "<details><summary><span class=\"pill {}\">{}</span> <b>{}</b> <span class=\"brief\">{}</span> <small>{}</small></summary>",
            class(finding.tone),
            html(&finding.word),
            html(&explanation.property),
            html(&clip(&explanation.sentence, ACTOR)),
            html(&clip(&finding.note, ACTOR))
        );
        points(text, explanation);
        text.push_str("</details>\n");
    }
    text.push_str("</section>\n");
}

fn remarks(text: &mut String, page: &Page) {
    if page.remarks.is_empty() {
        return;
    }
    text.push_str("<section><h2>Notes</h2><ul>");
    for remark in page.remarks.iter().take(REMARKS) {
        let _ = write!(text, "<li>{}</li>", html(&clip(remark, 4 * ACTOR)));
    }
    if page.remarks.len() > REMARKS {
        let _ = write!(text, "<li>and {} more</li>", page.remarks.len() - REMARKS);
    }
    text.push_str("</ul></section>\n");
}

fn table(text: &mut String, table: &Table) {
    let _ = write!(text, "<section><h2>{}</h2>\n<div class=\"scroll\"><table>", html(table.title));
    if table.head.iter().any(|name| !name.is_empty()) {
        text.push_str("<thead><tr>");
        for name in &table.head {
            let _ = write!(text, "<th>{}</th>", html(name));
        }
        text.push_str("</tr></thead>");
    }
    text.push_str("<tbody>\n");
    for row in &table.rows {
        text.push_str("<tr>");
        for cell in row {
            let missed = if cell == "missed" { " class=\"missed\"" } else { "" };
            let _ = write!(text, "<td{missed}>{}</td>", html(cell));
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody></table></div></section>\n");
}
