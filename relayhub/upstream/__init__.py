"""The only outbound HTTP: what leaves relayhub goes through a transport here, or a plugin's own."""
