"""What a pre-trained model puts in the place of [MASK]: shows at once whether weights are right.

Code: albert_zh/commands/fill_mask.py
"""

from albert_zh.commands.fill_mask import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.fill_mask import main

if __name__ == "__main__":
    main()
