//! Makes what machine tests need ready, and prints where it is: the directory of the programs, and the layer.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

fn main() {
    println!("{}", mainstay_testkit::binaries().display());
    println!("{}", mainstay_testkit::busybox_layer().display());
}
