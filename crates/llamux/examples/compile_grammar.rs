// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Compiles a GBNF grammar, and prints it as the bytes of a C array:
//! `cargo run -p llamux --example compile_grammar -- FILE`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os()
        .nth(1)
        .ok_or("usage: compile_grammar FILE")?;
    let grammar = llamux::Grammar::new(&std::fs::read_to_string(path)?)?;
    for bytes in grammar.table().chunks(12) {
        let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:#04x},")).collect();
        println!("\t{}", bytes.join(" "));
    }
    Ok(())
}
