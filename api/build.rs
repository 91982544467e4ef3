//! Makes sure that there is something to embed: without `web/dist` the program still builds, and its page says how to
//! build the pages.

use std::fs;
use std::io;
use std::path::Path;

const PLACEHOLDER: &str = "<!doctype html>
<html lang=\"en\">
  <head><meta charset=\"utf-8\" /><title>Almanac</title></head>
  <body>
    <h1>Almanac</h1>
    <p>This program was built without its pages. Build them, then the program again:</p>
    <pre>cd web &amp;&amp; npm ci &amp;&amp; npm run build &amp;&amp; cd .. &amp;&amp; cargo build -p almanac-api</pre>
    <p>The API works all the same: see the <a href=\"/reference\">reference</a>.</p>
  </body>
</html>
";

fn main() -> io::Result<()> {
    let dist = Path::new("../web/dist");
    let index = dist.join("index.html");
    if !index.exists() {
        fs::create_dir_all(dist)?;
        fs::write(&index, PLACEHOLDER)?;
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../web/dist");
    Ok(())
}
