interfaces {
 ethernet eth0 {
 address 10.0.0.1/24
 }
}
