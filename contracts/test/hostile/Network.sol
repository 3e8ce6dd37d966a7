// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IOperatorRegistry} from "../../src/interfaces/IOperatorRegistry.sol";
import {Claim, Evidence, Request} from "../../src/libraries/Types.sol";
import {Deployment} from "../Deployment.sol";
import {bound, vm} from "../Vm.sol";
import {World} from "./World.sol";

/// @title Beside a World's people: operators who lie, are slashed, leave and come back; blocks that are undone
/// @notice Truth is "one". Operators 4 to 7 sign "another", too, and are those who leave; the first four deliver. A
///         contract of its own on the world's deployment, since one of both would be longer than code may be.
contract Network is Deployment {
    uint256 private constant FIRST_LIAR = 4;
    uint256 private constant SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    address private constant CHALLENGER = address(0xC4A11);
    address private constant BURNT = 0x000000000000000000000000000000000000dEaD;
    address payable private constant OUTSIDE = payable(address(0x0075));

    bytes private constant INPUT = "x";

    World private immutable WORLD;
    mapping(address operator => uint256 seconds_) private leftAt;

    uint256 public slashed;
    uint256 public slashedWhileLeaving;
    uint256 public exits;
    uint256 public returns_;
    uint256 public undone;
    /// @dev None of these may ever be anything but zero.
    uint256 public earlyExits;
    uint256 public honestSlashed;
    uint256 public slashedTwice;
    uint256 public replayed;
    uint256 public gainedByOwnLie;
    uint256 public survivedReorganisation;

    constructor(World world) {
        WORLD = world;
    }

    /// @dev Sets the world up, and takes over what it deployed.
    function setUp() public override {
        WORLD.setUp();
        (coprocessor, operators, frauds, truth, modelId) = WORLD.deployed();
    }

    // ---- actions ----------------------------------------------------------------------------------------------

    /// @dev A true proof against a lie; named in it is somebody else, or the liar itself.
    function actProveWrong(uint256 which, uint8 liar, bool isByItself) external {
        (bool isAny, Request memory asked) = WORLD.requestFrom(which);
        if (!isAny) return;
        uint256 i = liarFrom(liar);
        address operator = operatorAt(i);
        address challenger = isByItself ? operator : CHALLENGER;
        bytes[] memory signatures = new bytes[](1);
        signatures[0] = signDigest(keyOf(i), claimDigestOf(asked, "another"));
        uint256 beforeWei = wealthOf(operator);
        uint256 stakeWei = operators.stakeOf(operator);
        Claim memory claim = claimOf(asked, "another");
        bool wasSlashed = frauds.wasSlashed(claim.requestId, operator);
        bool isLeaving = leftAt[operator] != 0;
        try frauds.proveWrong(claim, signatures, INPUT, "one", proofOf(asked, "one", challenger)) {
            ++slashed;
            if (wasSlashed) ++slashedTwice;
            if (isLeaving) ++slashedWhileLeaving;
            if (wealthOf(operator) > beforeWei - stakeWei + stakeWei / 2) ++gainedByOwnLie;
        } catch {}
        WORLD.look();
    }

    /// @dev Two outputs signed for one request: true evidence.
    function actProveEquivocation(uint256 which, uint8 liar) external {
        (bool isAny, Request memory asked) = WORLD.requestFrom(which);
        if (!isAny) return;
        uint256 i = liarFrom(liar);
        bool wasSlashed = frauds.wasSlashed(coprocessor.computeRequestId(asked), operatorAt(i));
        bytes memory one = signDigest(keyOf(i), claimDigestOf(asked, "one"));
        bytes memory another = signDigest(keyOf(i), claimDigestOf(asked, "another"));
        (Claim memory first, Claim memory second) = (claimOf(asked, "one"), claimOf(asked, "another"));
        vm.prank(CHALLENGER);
        try frauds.proveEquivocation(first, one, second, another) {
            ++slashed;
            if (leftAt[operatorAt(i)] != 0) ++slashedWhileLeaving;
            if (wasSlashed) ++slashedTwice;
        } catch {}
        WORLD.look();
    }

    /// @dev Whoever signed the truth alone: with a proof of a lie, with the other half of a signature's twin, and with
    ///      signatures of two requests.
    function actAccuseHonest(uint256 which, uint256 other, uint8 honest) external {
        (bool isAny, Request memory asked) = WORLD.requestFrom(which);
        if (!isAny) return;
        (, Request memory next) = WORLD.requestFrom(other);
        uint256 i = honest % FIRST_LIAR;
        bytes[] memory signatures = new bytes[](1);
        signatures[0] = signDigest(keyOf(i), claimDigestOf(asked, "one"));
        Evidence memory lie = proofOf(asked, "another", CHALLENGER);
        try frauds.proveWrong(claimOf(asked, "one"), signatures, INPUT, "another", lie) {
            ++honestSlashed;
        } catch {}
        bytes memory twin = twinOf(signatures[0]);
        try frauds.proveEquivocation(claimOf(asked, "one"), signatures[0], claimOf(asked, "one"), twin) {
            ++honestSlashed;
        } catch {}
        bytes memory elsewhere = signDigest(keyOf(i), claimDigestOf(next, "one"));
        try frauds.proveEquivocation(claimOf(asked, "one"), signatures[0], claimOf(asked, "another"), elsewhere) {
            ++honestSlashed;
        } catch {}
        try frauds.proveEquivocation(claimOf(asked, "one"), signatures[0], claimOf(next, "another"), elsewhere) {
            ++honestSlashed;
        } catch {}
        WORLD.look();
    }

    /// @dev What was signed for one request, shown for another; and twins of good signatures.
    function actReplay(uint256 which, uint256 other, bool isTwin) external {
        (bool isAny, Request memory asked) = WORLD.requestFrom(which);
        if (!isAny) return;
        (, Request memory next) = WORLD.requestFrom(other);
        bytes memory data = quorumData(asked, "one", 0, 1);
        if (isTwin) {
            (next, data) = (asked, bytes.concat(bytes32(uint256(1)), twinOf(tail(data))));
        } else if (next.nonce == asked.nonce) {
            return;
        }
        try coprocessor.deliver(next, INPUT, "one", asEvidence(data)) {
            ++replayed;
        } catch {}
        WORLD.look();
    }

    function actBeginExit(uint8 who) external {
        address operator = operatorAt(liarFrom(who));
        vm.prank(operator);
        try operators.beginExit() {
            leftAt[operator] = block.timestamp;
        } catch {}
        WORLD.look();
    }

    function actWithdrawStake(uint8 who) external {
        address operator = operatorAt(liarFrom(who));
        vm.prank(operator);
        try operators.withdrawStake(OUTSIDE) {
            ++exits;
            if (leftAt[operator] == 0 || block.timestamp < leftAt[operator] + UNBONDING_SECONDS) ++earlyExits;
            leftAt[operator] = 0;
        } catch {}
        WORLD.look();
    }

    /// @dev Back on the seat, or above the minimum again after a slash.
    function actReturn(uint8 who) external {
        uint256 i = liarFrom(who);
        address operator = operatorAt(i);
        (, address signer,) = operators.signerAt(seatIndexOf(i));
        if (signer == address(0)) {
            seat(i);
            ++returns_;
        } else {
            vm.deal(operator, MIN_STAKE_WEI);
            vm.prank(operator);
            try operators.addStake{value: MIN_STAKE_WEI}() {} catch {}
        }
        WORLD.look();
    }

    function actWithdrawOwed(uint8 who, bool isChallenger) external {
        vm.prank(isChallenger ? CHALLENGER : operatorAt(liarFrom(who)));
        try operators.withdrawOwed(OUTSIDE) {} catch {}
        WORLD.look();
    }

    function actWaitForDays(uint8 days_) external {
        vm.warp(block.timestamp + days_ % 10 * 1 days);
    }

    /// @dev A request is made, its answer signed, and the block undone; another takes its place. The answer is then
    ///      nobody's, whatever the nonce.
    function actReorganise(uint256 seed, uint96 feeWei) external {
        uint256 fee = bound(feeWei, 0, 1 ether);
        uint256 before = vm.snapshotState();
        Request memory lost = ask(address(0xA11CE), INPUT, quorumPolicy(1, 0), fee, 0);
        Evidence[] memory evidence = evidenceOf(lost, "one", 1);
        try this.step(seed) {} catch {}
        require(vm.revertToState(before), "not undone");
        ++undone;
        WORLD.join(ask(address(0xA11CE), INPUT, quorumPolicy(1, 0), fee + 1, 0));
        try coprocessor.deliver(lost, INPUT, "one", evidence) {
            ++survivedReorganisation;
        } catch {}
        WORLD.look();
    }

    /// @dev One action of the world's, or one of those above.
    function step(uint256 seed) external {
        if (seed >> 250 & 1 == 0) {
            WORLD.act(seed);
            return;
        }
        (uint256 a, uint256 b) = (seed >> 8 & type(uint32).max, seed >> 40 & type(uint32).max);
        bool isOdd = seed >> 255 == 1;
        bytes[9] memory calls = [
            abi.encodeCall(this.actProveWrong, (a, uint8(b), isOdd)),
            abi.encodeCall(this.actProveEquivocation, (a, uint8(b))),
            abi.encodeCall(this.actAccuseHonest, (a, b, uint8(seed >> 72))),
            abi.encodeCall(this.actReplay, (a, b, isOdd)),
            abi.encodeCall(this.actBeginExit, (uint8(a))),
            abi.encodeCall(this.actWithdrawStake, (uint8(a))),
            abi.encodeCall(this.actReturn, (uint8(a))),
            abi.encodeCall(this.actWithdrawOwed, (uint8(a), isOdd)),
            abi.encodeCall(this.actWaitForDays, (b % 2 == 0 ? uint8(a) : 0))
        ];
        (bool isSuccess,) = address(this).call(calls[seed % calls.length]);
        require(isSuccess, "an action failed");
    }

    // ---- watching ---------------------------------------------------------------------------------------------

    /// @dev What slashes owe to who proved the lies.
    function challengerWei() external view returns (uint256 amountWei) {
        return operators.owedTo(CHALLENGER);
    }

    /// @dev No seat signs with less than the minimum at stake, or on its way out.
    function countUnfitSigners() external view returns (uint256 count) {
        for (uint256 i; i < OPERATORS; ++i) {
            (address operator,, bool isActive) = operators.signerAt(seatIndexOf(i));
            if (!isActive) continue;
            (, IOperatorRegistry.Seat memory seat_) = operators.operatorInfo(operator);
            if (seat_.stakeWei < MIN_STAKE_WEI || seat_.exitAt != 0) ++count;
        }
    }

    // ---- inside -----------------------------------------------------------------------------------------------

    function wealthOf(address operator) private view returns (uint256 amountWei) {
        return operators.stakeOf(operator) + operators.owedTo(operator);
    }

    function liarFrom(uint8 who) private pure returns (uint256) {
        return FIRST_LIAR + who % (OPERATORS - FIRST_LIAR);
    }

    function tail(bytes memory data) private pure returns (bytes memory signature) {
        signature = new bytes(65);
        for (uint256 i; i < 65; ++i) {
            signature[i] = data[32 + i];
        }
    }

    /// @dev The other signature of the same digest by the same key: s mirrored, v flipped.
    function twinOf(bytes memory signature) private pure returns (bytes memory) {
        bytes32 r;
        uint256 s;
        assembly ("memory-safe") {
            r := mload(add(signature, 0x20))
            s := mload(add(signature, 0x40))
        }
        return abi.encodePacked(r, SECP256K1_ORDER - s, uint8(signature[64]) == 27 ? uint8(28) : uint8(27));
    }
}
