// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Coprocessor} from "../../src/Coprocessor.sol";
import {IInferenceConsumer} from "../../src/interfaces/IInferenceConsumer.sol";

/// @dev Well-behaved: remembers what it was told, how often, and with how much gas.
contract RecordingConsumer is IInferenceConsumer {
    uint256 public calls;
    bytes32 public lastId;
    bytes public lastOutput;
    uint256 public gasAtEntry;

    function onInference(bytes32 requestId, bytes calldata output) external {
        gasAtEntry = gasleft();
        ++calls;
        lastId = requestId;
        lastOutput = output;
    }

    receive() external payable {}
}

/// @dev Reverts until told otherwise.
contract RevertingConsumer is IInferenceConsumer {
    error No();

    bool public isTamed;
    uint256 public calls;

    function tame() external {
        isTamed = true;
    }

    function onInference(bytes32, bytes calldata) external {
        if (!isTamed) revert No();
        ++calls;
    }
}

/// @dev Burns everything it is given.
contract GuzzlingConsumer is IInferenceConsumer {
    function onInference(bytes32, bytes calldata) external pure {
        assembly {
            invalid()
        }
    }
}

/// @dev Returns, or reverts with, as many bytes as its gas can pay for: a caller that copies them pays again.
contract ReturnBombConsumer is IInferenceConsumer {
    bool private immutable IS_REVERTING;
    uint256 private immutable SIZE;

    constructor(bool isReverting, uint256 size) {
        IS_REVERTING = isReverting;
        SIZE = size;
    }

    function onInference(bytes32, bytes calldata) external view {
        (bool isReverting, uint256 size) = (IS_REVERTING, SIZE);
        assembly {
            if isReverting { revert(0, size) }
            return(0, size)
        }
    }
}

/// @dev Needs more gas than it asked for: succeeds on a retry with enough.
contract HungryConsumer is IInferenceConsumer {
    uint256 public calls;
    mapping(uint256 slot => uint256) public work;

    function onInference(bytes32, bytes calldata) external {
        for (uint256 i; i < 20; ++i) {
            work[i] = i + 1;
        }
        ++calls;
    }
}

/// @dev Runs one prepared call against the coprocessor from inside its callback and keeps what came of it.
contract ReenteringConsumer is IInferenceConsumer {
    Coprocessor private immutable COPROCESSOR;
    bytes private attack;
    bool public hasSucceeded;
    bytes public answer;
    uint256 public calls;

    constructor(Coprocessor coprocessor) {
        COPROCESSOR = coprocessor;
    }

    function prepare(bytes calldata call_) external {
        attack = call_;
    }

    function onInference(bytes32, bytes calldata) external {
        ++calls;
        (hasSucceeded, answer) = address(COPROCESSOR).call(attack);
    }

    receive() external payable {}
}

/// @dev Asks the next question from inside the callback: what a pipeline of models does.
contract ChainingConsumer is IInferenceConsumer {
    Coprocessor private immutable COPROCESSOR;
    bytes32 private immutable MODEL_ID;
    bytes32 private immutable POLICY;
    bytes32 public nextId;

    constructor(Coprocessor coprocessor, bytes32 modelId, bytes32 policy) {
        COPROCESSOR = coprocessor;
        MODEL_ID = modelId;
        POLICY = policy;
    }

    function onInference(bytes32, bytes calldata output) external {
        uint64 deadline = uint64(block.timestamp + 1 hours);
        nextId = COPROCESSOR.request(MODEL_ID, output, POLICY, 0, deadline, address(this));
    }
}
