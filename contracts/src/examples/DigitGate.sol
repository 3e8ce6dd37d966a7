// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICoprocessor} from "../interfaces/ICoprocessor.sol";
import {IInferenceConsumer} from "../interfaces/IInferenceConsumer.sol";

/// @title DigitGate: a consumer to copy. Reads handwritten digits, and remembers who showed which
/// @notice The model takes an image as packed big-endian int16 and answers ten scores in the same form; the largest
///         names the digit.
contract DigitGate is IInferenceConsumer {
    enum State {
        NONE,
        ASKED,
        READ
    }

    struct Reading {
        address asker;
        State state;
        uint8 digit;
    }

    uint256 public constant CLASSES = 10;
    uint32 public constant CALLBACK_GAS = 100_000;

    ICoprocessor public immutable COPROCESSOR;
    bytes32 public immutable MODEL_ID;
    bytes32 public immutable POLICY;

    mapping(bytes32 requestId => Reading) public readingOf;

    event DigitAsked(bytes32 indexed requestId, address indexed asker);
    event DigitRead(bytes32 indexed requestId, address indexed asker, uint8 digit);

    error NotCoprocessor(address caller);
    error NotAsked(bytes32 requestId);
    error UnexpectedOutput(uint256 expectedBytes, uint256 gotBytes);

    /// @param policy The evidence every reading must carry, see libraries/Policy.sol.
    constructor(ICoprocessor coprocessor, bytes32 modelId, bytes32 policy) {
        COPROCESSOR = coprocessor;
        MODEL_ID = modelId;
        POLICY = policy;
    }

    /// @notice Asks which digit `image` shows; `msg.value` is the fee for the operators.
    /// @dev The caller gets the fee back if nobody answers within `patienceSeconds`: anyone calls `Coprocessor.refund`
    ///      with the request of the event InferenceRequested, then the caller calls `Coprocessor.withdraw`.
    function ask(bytes calldata image, uint32 patienceSeconds) external payable returns (bytes32 requestId) {
        uint64 deadline = uint64(block.timestamp) + patienceSeconds;
        requestId = COPROCESSOR.request{value: msg.value}(MODEL_ID, image, POLICY, CALLBACK_GAS, deadline, msg.sender);
        readingOf[requestId] = Reading(msg.sender, State.ASKED, 0);
        emit DigitAsked(requestId, msg.sender);
    }

    /// @inheritdoc IInferenceConsumer
    function onInference(bytes32 requestId, bytes calldata output) external {
        if (msg.sender != address(COPROCESSOR)) revert NotCoprocessor(msg.sender);
        Reading storage reading = readingOf[requestId];
        if (reading.state != State.ASKED) revert NotAsked(requestId);
        uint8 digit = indexOfLargest(output);
        reading.state = State.READ;
        reading.digit = digit;
        emit DigitRead(requestId, reading.asker, digit);
    }

    /// @notice The position of the largest of ten packed big-endian int16 scores; the first of equals.
    function indexOfLargest(bytes calldata scores) public pure returns (uint8 index) {
        if (scores.length != 2 * CLASSES) revert UnexpectedOutput(2 * CLASSES, scores.length);
        int16 largest = type(int16).min;
        for (uint256 i; i < CLASSES; ++i) {
            int16 score = int16(uint16(bytes2(scores[2 * i:2 * i + 2])));
            if (score > largest) (largest, index) = (score, uint8(i));
        }
    }
}
