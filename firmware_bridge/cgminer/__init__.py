"""The API of cgminer on TCP port 4028, as bmminer (stock S9), bosminer (Braiins) and intminer (Goldshell) speak it."""
