"""The prompts of the greedy ground truth, as given to `ptxgen-run --raw`."""

CUDA_CHAT = ("<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
             "<|im_start|>user\nWhat is CUDA?<|im_end|>\n<|im_start|>assistant\n")

# A ship's log: several hundred tokens, no two entries alike, and a question about an early entry at the end.
PLACES = ["the harbour", "a reef", "the lighthouse", "an island with goats", "the open sea", "a river mouth",
          "two fishing boats", "a wreck", "the northern cape", "a bank of fog"]
WEATHER = ["rain", "a calm sea", "strong wind from the west", "bright sun", "hail", "a clear night", "low cloud"]
WORK = ["mended the sails", "caught nine mackerel", "painted the rudder", "wrote letters", "repaired the pump",
        "played cards", "cleaned the deck", "counted the barrels", "tuned the radio"]
LOG = "The log of the ship Marigold.\n" + "".join(
    f"Day {day}: {WEATHER[day * 5 % 7]}, {3 + day * 7 % 23} knots, we passed {PLACES[day * 3 % 10]} and "
    f"{WORK[day * 4 % 9]}.\n" for day in range(1, 31)) + "Day 31:"

PROMPTS = {
    "smollm2": {
        "chat-cuda": CUDA_CHAT,
        "chat-plain": "<|im_start|>user\nName three colours.<|im_end|>\n<|im_start|>assistant\n",
        "chat-turns": CUDA_CHAT + "CUDA is a parallel computing platform made by NVIDIA.<|im_end|>\n"
                      "<|im_start|>user\nWho can use it?<|im_end|>\n<|im_start|>assistant\n",
        "capital": "The capital of France is",
        "code": "def fibonacci(n):\n    \"\"\"Return the n-th Fibonacci number.\"\"\"\n",
        "not-ascii": "Grüße aus Zürich! 日本語の文: 猫が好きです。 Ελληνικά, русский, عربى 🙂👩‍🚀 naïve café —",
        "numbers": "1, 1, 2, 3, 5, 8, 13, 21,",
        "long": LOG,
    },
    "gemma3": {
        "capital": "The capital of France is",
        "story": "Once upon a time, in a small village by the sea, there lived",
        "code": "def fibonacci(n):\n    \"\"\"Return the n-th Fibonacci number.\"\"\"\n",
        "not-ascii": "Grüße aus Zürich! 日本語の文: 猫が好きです。 Ελληνικά, русский, عربى 🙂👩‍🚀 naïve café —",
        "numbers": "1, 1, 2, 3, 5, 8, 13, 21,",
        "list": "Shopping list:\n- apples\n- bread\n-",
        "question": "Question: What is the boiling point of water in degrees Celsius?\nAnswer:",
        "long": LOG,
    },
}
