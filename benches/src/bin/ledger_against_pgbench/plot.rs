//! Throughput against callers in flight, as an SVG.

/// Throughput against callers in flight, as an SVG with a logarithmic axis for the callers.
pub(crate) fn svg(points: &[(usize, f64)]) -> String {
    let most = points.iter().map(|(_, rate)| *rate).fold(1.0, f64::max);
    let x = |in_flight: usize| 60.0 + 520.0 * (in_flight as f64).ln() / 2_000_f64.ln();
    let y = |rate: f64| 300.0 - 260.0 * rate / most;
    let line: Vec<String> = points.iter().map(|(n, rate)| format!("{:.0},{:.0}", x(*n), y(*rate))).collect();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 620 350\" font-family=\"sans-serif\" font-size=\"12\">\
         <rect width=\"620\" height=\"350\" fill=\"white\"/><polyline points=\"{}\" fill=\"none\" stroke=\"#0a58ca\" stroke-width=\"2\"/>",
        line.join(" ")
    );
    for (in_flight, rate) in points {
        let (x, y) = (x(*in_flight), y(*rate));
        svg += &format!(
            "<circle cx=\"{x:.0}\" cy=\"{y:.0}\" r=\"3\" fill=\"#0a58ca\"/><text x=\"{x:.0}\" y=\"320\" text-anchor=\"middle\">{in_flight}</text>"
        );
        svg += &format!("<text x=\"{x:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{rate:.0}</text>", y - 8.0);
    }
    svg + "<text x=\"320\" y=\"342\" text-anchor=\"middle\">callers in flight; transfers a second</text></svg>\n"
}
