"""Providers of the chat protocol: Mistral, OpenAI, and every server that speaks like them."""
