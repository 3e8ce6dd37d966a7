// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {Coprocessor} from "../../src/Coprocessor.sol";

/// @dev A plain ERC-1271 wallet with one owner key.
contract OwnedWallet {
    address private immutable OWNER;

    constructor(address owner) {
        OWNER = owner;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        (address recovered,,) = ECDSA.tryRecoverCalldata(digest, signature);
        return recovered == OWNER && recovered != address(0) ? this.isValidSignature.selector : bytes4(0xffffffff);
    }
}

/// @dev Answers every ERC-1271 question with the given word, or reverts, or burns its gas.
contract OddWallet {
    enum Mood {
        WORD,
        SHORT_ANSWER,
        REVERT,
        BURN
    }

    Mood private immutable MOOD;
    bytes32 private immutable WORD;

    constructor(Mood mood, bytes32 word) {
        MOOD = mood;
        WORD = word;
    }

    fallback() external {
        (Mood mood, bytes32 word) = (MOOD, WORD);
        if (mood == Mood.REVERT) revert();
        assembly {
            if eq(mood, 3) { invalid() }
            mstore(0, word)
            if eq(mood, 1) { return(0, 31) }
            return(0, 32)
        }
    }
}

/// @dev Takes no ether.
contract ClosedPurse {
    function withdraw(Coprocessor coprocessor, uint256 amountWei, address payable to) external {
        coprocessor.withdraw(amountWei, to);
    }
}

/// @dev Withdraws again while it is being paid.
contract GreedyPurse {
    Coprocessor private immutable COPROCESSOR;

    constructor(Coprocessor coprocessor) {
        COPROCESSOR = coprocessor;
    }

    function withdraw(uint256 amountWei) external {
        COPROCESSOR.withdraw(amountWei, payable(address(this)));
    }

    receive() external payable {
        COPROCESSOR.withdraw(msg.value, payable(address(this)));
    }
}
