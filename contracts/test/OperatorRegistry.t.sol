// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

import {OperatorRegistry} from "../src/OperatorRegistry.sol";
import {IOperatorRegistry} from "../src/interfaces/IOperatorRegistry.sol";
import {Deployment} from "./Deployment.sol";
import {bound, vm} from "./Vm.sol";

/// @title Seats, keys, stakes
contract OperatorRegistryTest is Deployment {
    address private constant NEWCOMER = address(0x4E3);
    address private constant SLASHER = address(0x51A54);
    address private constant ADMITTER = address(0xAD317);
    uint256 private constant NEW_KEY = uint256(keccak256("new key"));
    uint256 private constant START = 1_700_000_000;

    function setUp() public override {
        super.setUp();
        vm.prank(OWNER);
        operators.setSlasher(SLASHER);
    }

    // ---- registering ------------------------------------------------------------------------------------------

    function testFuzz_AFreeSeatIsTakenWithStakeAndPossession(uint8 index, uint96 stakeWei) public {
        vm.assume(index % 10 != 0 || index >= 10 * OPERATORS);
        stakeWei = uint96(bound(stakeWei, MIN_STAKE_WEI, type(uint96).max));
        vm.expectEmit(address(operators));
        emit IOperatorRegistry.OperatorRegistered(index, NEWCOMER, vm.addr(NEW_KEY), stakeWei);
        register(operators, index, stakeWei, NEW_KEY);
        (address operator, address signer, bool isActive) = operators.signerAt(index);
        vm.assertEq(operator, NEWCOMER);
        vm.assertEq(signer, vm.addr(NEW_KEY));
        vm.assertEq(isActive, true);
        vm.assertEq(operators.operatorOf(signer), NEWCOMER);
        (uint8 gotIndex, IOperatorRegistry.Seat memory seat_) = operators.operatorInfo(NEWCOMER);
        vm.assertEq(gotIndex, index);
        vm.assertEq(seat_.stakeWei, stakeWei);
    }

    function test_WhoMayNotRegister() public {
        expectRegisterRefused(10, MIN_STAKE_WEI, NEW_KEY, IOperatorRegistry.SeatTaken.selector);
        expectRegisterRefused(5, MIN_STAKE_WEI - 1, NEW_KEY, IOperatorRegistry.StakeTooLow.selector);
        expectRegisterRefused(5, uint256(type(uint96).max) + 1, NEW_KEY, IOperatorRegistry.StakeTooHigh.selector);
        expectRegisterRefused(5, MIN_STAKE_WEI, keyOf(0), IOperatorRegistry.SignerUsed.selector);
        register(operators, 5, MIN_STAKE_WEI, NEW_KEY);
        expectRegisterRefused(6, MIN_STAKE_WEI, NEW_KEY + 1, IOperatorRegistry.AlreadySeated.selector);
    }

    function test_NobodyRegistersAKeyTheyDoNotHold() public {
        address signer = vm.addr(NEW_KEY);
        vm.deal(NEWCOMER, 100 ether);
        // Signed for another operator, by another key, over another registry, malformed, empty.
        bytes[5] memory bad = [
            signDigest(NEW_KEY, operators.computePossessionDigest(address(0xBAD), signer)),
            signDigest(NEW_KEY + 1, operators.computePossessionDigest(NEWCOMER, signer)),
            signDigest(NEW_KEY, registryAdmittedBy(address(0)).computePossessionDigest(NEWCOMER, signer)),
            bytes.concat(signDigest(NEW_KEY, operators.computePossessionDigest(NEWCOMER, signer)), hex"00"),
            bytes("")
        ];
        for (uint256 i; i < bad.length; ++i) {
            vm.prank(NEWCOMER);
            vm.expectRevert(abi.encodeWithSelector(IOperatorRegistry.BadPossession.selector, signer));
            operators.register{value: MIN_STAKE_WEI}(5, signer, bad[i]);
        }
        vm.prank(NEWCOMER);
        vm.expectRevert(IOperatorRegistry.ZeroAddress.selector);
        operators.register{value: MIN_STAKE_WEI}(5, address(0), new bytes(65));
    }

    function test_UnbondingMustOutlastEveryWindow() public {
        uint64 maxSeconds = coprocessor.MAX_WINDOW_SECONDS();
        vm.assertEq(operators.MAX_WINDOW_SECONDS(), maxSeconds);
        bytes memory arguments = abi.encode(OWNER, MIN_STAKE_WEI, maxSeconds, address(0), address(0), address(0));
        bytes memory creation = bytes.concat(vm.getCode("OperatorRegistry.sol:OperatorRegistry"), arguments);
        vm.expectRevert(
            abi.encodeWithSelector(IOperatorRegistry.UnbondingTooShort.selector, maxSeconds + 1, maxSeconds)
        );
        assembly {
            // By its code: with it inside, this contract would be larger than a chain takes.
            pop(create(0, add(creation, 0x20), mload(creation)))
        }
    }

    // ---- admission --------------------------------------------------------------------------------------------

    function test_WithAnAdmitterOnlyTheAdmittedRegister() public {
        OperatorRegistry closed = registryAdmittedBy(ADMITTER);
        bytes memory possession = signDigest(NEW_KEY, closed.computePossessionDigest(NEWCOMER, vm.addr(NEW_KEY)));
        vm.deal(NEWCOMER, MIN_STAKE_WEI);
        vm.prank(NEWCOMER);
        vm.expectRevert(abi.encodeWithSelector(IOperatorRegistry.NotAdmitted.selector, NEWCOMER));
        closed.register{value: MIN_STAKE_WEI}(5, vm.addr(NEW_KEY), possession);
        vm.expectRevert(abi.encodeWithSelector(IOperatorRegistry.NotAdmitter.selector, address(this)));
        closed.admit(NEWCOMER);
        vm.prank(ADMITTER);
        closed.admit(NEWCOMER);
        register(closed, 5, MIN_STAKE_WEI, NEW_KEY);
        requireActive(closed, 5, true);
    }

    function test_RevokingIsAtOnceAndLeavesTheStake() public {
        OperatorRegistry closed = registryAdmittedBy(ADMITTER);
        vm.prank(ADMITTER);
        closed.admit(NEWCOMER);
        register(closed, 5, MIN_STAKE_WEI, NEW_KEY);
        vm.expectRevert(abi.encodeWithSelector(IOperatorRegistry.NotAdmitter.selector, address(this)));
        closed.revoke(NEWCOMER);
        vm.prank(ADMITTER);
        closed.revoke(NEWCOMER);
        requireActive(closed, 5, false);
        vm.prank(ADMITTER);
        closed.admit(NEWCOMER);
        requireActive(closed, 5, true);
        vm.prank(ADMITTER);
        closed.revoke(NEWCOMER);
        vm.prank(NEWCOMER);
        closed.beginExit();
        vm.prank(ADMITTER);
        closed.admit(NEWCOMER);
        requireActive(closed, 5, false);
        vm.warp(START + UNBONDING_SECONDS);
        vm.prank(NEWCOMER);
        closed.withdrawStake(payable(NEWCOMER));
        vm.assertEq(NEWCOMER.balance, MIN_STAKE_WEI);
    }

    function test_AnOpenRegistryHasNoAdmitter() public {
        vm.expectRevert(abi.encodeWithSelector(IOperatorRegistry.NotAdmitter.selector, address(this)));
        operators.revoke(operatorAt(0));
    }

    // ---- keys -------------------------------------------------------------------------------------------------

    function test_ARotatedKeyStaysItsOperatorsForEver() public {
        address old = vm.addr(keyOf(0));
        rotate(0, NEW_KEY);
        (, address signer,) = operators.signerAt(seatIndexOf(0));
        vm.assertEq(signer, vm.addr(NEW_KEY));
        // The old key still accounts for what it signed, and nobody else takes it.
        vm.assertEq(operators.operatorOf(old), operatorAt(0));
        expectRegisterRefused(5, MIN_STAKE_WEI, keyOf(0), IOperatorRegistry.SignerUsed.selector);
        rotate(0, keyOf(0));
    }

    function test_RotatingNeedsASeatAndPossession() public {
        vm.prank(NEWCOMER);
        vm.expectRevert(abi.encodeWithSelector(IOperatorRegistry.NotSeated.selector, NEWCOMER));
        operators.rotateSigner(vm.addr(NEW_KEY), "");
        vm.prank(operatorAt(0));
        vm.expectRevert(abi.encodeWithSelector(IOperatorRegistry.BadPossession.selector, vm.addr(NEW_KEY)));
        operators.rotateSigner(vm.addr(NEW_KEY), new bytes(65));
        address taken = vm.addr(keyOf(1));
        vm.prank(operatorAt(0));
        vm.expectRevert(abi.encodeWithSelector(IOperatorRegistry.SignerUsed.selector, taken));
        operators.rotateSigner(taken, "");
    }

    // ---- leaving ----------------------------------------------------------------------------------------------

    function test_LeavingTakesTheUnbondingTimeAndFreesTheSeat() public {
        uint64 exitAt = uint64(START) + UNBONDING_SECONDS;
        vm.prank(operatorAt(0));
        vm.expectRevert(abi.encodeWithSelector(IOperatorRegistry.NotExiting.selector, operatorAt(0)));
        operators.withdrawStake(payable(NEWCOMER));
        vm.expectEmit(address(operators));
        emit IOperatorRegistry.SeatStatusChanged(operatorAt(0), 0, IOperatorRegistry.SeatStatus.EXITING);
        vm.expectEmit(address(operators));
        emit IOperatorRegistry.ExitBegun(operatorAt(0), exitAt);
        vm.prank(operatorAt(0));
        operators.beginExit();
        requireActive(operators, 0, false);
        vm.warp(exitAt - 1);
        vm.prank(operatorAt(0));
        vm.expectRevert(abi.encodeWithSelector(IOperatorRegistry.ExitNotDue.selector, exitAt));
        operators.withdrawStake(payable(NEWCOMER));
        vm.warp(exitAt);
        vm.prank(operatorAt(0));
        operators.withdrawStake(payable(NEWCOMER));
        vm.assertEq(NEWCOMER.balance, MIN_STAKE_WEI);
        register(operators, 0, MIN_STAKE_WEI, NEW_KEY);
        vm.prank(operatorAt(0));
        vm.expectRevert(abi.encodeWithSelector(IOperatorRegistry.NotSeated.selector, operatorAt(0)));
        operators.withdrawStake(payable(NEWCOMER));
    }

    function test_WhoLeavesDoesNothingElse() public {
        vm.prank(operatorAt(0));
        operators.beginExit();
        bytes memory already = abi.encodeWithSelector(IOperatorRegistry.AlreadyExiting.selector, operatorAt(0));
        vm.prank(operatorAt(0));
        vm.expectRevert(already);
        operators.beginExit();
        vm.prank(operatorAt(0));
        vm.expectRevert(already);
        operators.rotateSigner(vm.addr(NEW_KEY), "");
        vm.deal(operatorAt(0), 1);
        vm.prank(operatorAt(0));
        vm.expectRevert(already);
        operators.addStake{value: 1}();
    }

    // ---- slashing ---------------------------------------------------------------------------------------------

    function test_OnlyTheSlasherSlashesAndOnlyTheOwnerNamesIt() public {
        vm.expectRevert(abi.encodeWithSelector(IOperatorRegistry.NotSlasher.selector, address(this)));
        operators.slash(operatorAt(0), 1, NEWCOMER);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this)));
        operators.setSlasher(address(this));
    }

    function test_WithoutASlasherNobodySlashes() public {
        OperatorRegistry fresh = registryAdmittedBy(address(0));
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IOperatorRegistry.NotSlasher.selector, OWNER));
        fresh.slash(operatorAt(0), 1, NEWCOMER);
    }

    function test_TheSlasherIsNamedAtDeploymentAndOnlyTheOwnerChangesIt() public {
        OperatorRegistry registry = deployOperators(address(frauds));
        vm.assertEq(registry.slasher(), address(frauds));
        vm.prank(OWNER);
        registry.setSlasher(SLASHER);
        vm.assertEq(registry.slasher(), SLASHER);
    }

    function test_StakesAreReadForEverybody() public {
        vm.assertEq(operators.stakeOf(operatorAt(0)), MIN_STAKE_WEI);
        vm.assertEq(operators.stakeOf(NEWCOMER), 0);
        slash(0, 0.4 ether);
        vm.assertEq(operators.stakeOf(operatorAt(0)), 0.6 ether);
        vm.prank(operatorAt(0));
        operators.beginExit();
        vm.assertEq(operators.stakeOf(operatorAt(0)), 0.6 ether);
    }

    function test_SlashingBelowTheMinimumSuspendsUntilTheStakeIsMet() public {
        slash(0, 1);
        requireActive(operators, seatIndexOf(0), false);
        vm.deal(operatorAt(0), 1);
        vm.prank(operatorAt(0));
        operators.addStake{value: 1}();
        requireActive(operators, seatIndexOf(0), true);
    }

    function test_SlashedStakeGoesToTheBeneficiaryOnce() public {
        slash(0, 0.4 ether);
        vm.assertEq(operators.owedTo(NEWCOMER), 0.4 ether);
        vm.prank(NEWCOMER);
        operators.withdrawOwed(payable(NEWCOMER));
        vm.assertEq(NEWCOMER.balance, 0.4 ether);
        vm.prank(NEWCOMER);
        vm.expectRevert(abi.encodeWithSelector(IOperatorRegistry.NothingOwed.selector, NEWCOMER));
        operators.withdrawOwed(payable(NEWCOMER));
    }

    function test_NobodyLosesMoreThanTheirStake() public {
        vm.prank(SLASHER);
        vm.expectRevert(
            abi.encodeWithSelector(IOperatorRegistry.SlashTooHigh.selector, MIN_STAKE_WEI, MIN_STAKE_WEI + 1)
        );
        operators.slash(operatorAt(0), MIN_STAKE_WEI + 1, NEWCOMER);
        vm.prank(SLASHER);
        vm.expectRevert(IOperatorRegistry.ZeroAddress.selector);
        operators.slash(operatorAt(0), 1, address(0));
    }

    function test_WhoLeavesIsSlashedUntilTheStakeIsOut() public {
        vm.prank(operatorAt(0));
        operators.beginExit();
        vm.warp(START + UNBONDING_SECONDS);
        slash(0, 0.25 ether);
        vm.prank(operatorAt(0));
        operators.withdrawStake(payable(operatorAt(0)));
        vm.assertEq(operatorAt(0).balance, 0.75 ether);
        vm.prank(SLASHER);
        vm.expectRevert(abi.encodeWithSelector(IOperatorRegistry.NotSeated.selector, operatorAt(0)));
        operators.slash(operatorAt(0), 1, NEWCOMER);
    }

    /// @dev Every wei held is somebody's stake or owed to somebody, whatever was slashed, withdrawn and added.
    function testFuzz_StakesAndDebtsAreAllThatIsHeld(uint96[8] calldata slashedWei, uint8 leaving) public {
        uint256 owedWei;
        for (uint256 i; i < OPERATORS; ++i) {
            uint256 amountWei = bound(slashedWei[i], 0, MIN_STAKE_WEI);
            slash(i, amountWei);
            owedWei += amountWei;
            if ((leaving >> i) & 1 == 0) continue;
            vm.prank(operatorAt(i));
            operators.beginExit();
        }
        vm.warp(START + UNBONDING_SECONDS);
        uint256 stakesWei;
        for (uint256 i; i < OPERATORS; ++i) {
            if ((leaving >> i) & 1 == 1) {
                vm.prank(operatorAt(i));
                operators.withdrawStake(payable(operatorAt(i)));
            } else {
                (, IOperatorRegistry.Seat memory seat_) = operators.operatorInfo(operatorAt(i));
                stakesWei += seat_.stakeWei;
            }
        }
        vm.assertEq(operators.owedTo(NEWCOMER), owedWei);
        vm.assertEq(address(operators).balance, stakesWei + owedWei);
    }

    // ---- reading ----------------------------------------------------------------------------------------------

    function test_SeatsAreReadInOrderToTheLast() public {
        register(operators, 255, MIN_STAKE_WEI, NEW_KEY);
        (address[] memory seated, address[] memory signers) = operators.activeSigners((1 << 255) | (1 << 70) | 1);
        vm.assertEq(seated.length, 3);
        vm.assertEq(signers.length, 3);
        (address a, address b, address c) = (seated[0], seated[1], seated[2]);
        vm.assertEq(a, operatorAt(0));
        vm.assertEq(b, operatorAt(7));
        vm.assertEq(c, NEWCOMER);
        vm.assertEq(signers[2], vm.addr(NEW_KEY));
    }

    // ---- inside -----------------------------------------------------------------------------------------------

    function registryAdmittedBy(address admitter) private returns (OperatorRegistry) {
        bytes memory arguments = abi.encode(OWNER, MIN_STAKE_WEI, UNBONDING_SECONDS, admitter, address(0), address(0));
        return OperatorRegistry(deployShipped("OperatorRegistry", arguments));
    }

    function register(OperatorRegistry registry, uint8 index, uint256 stakeWei, uint256 key) private {
        bytes memory possession = signDigest(key, registry.computePossessionDigest(NEWCOMER, vm.addr(key)));
        vm.deal(NEWCOMER, stakeWei);
        vm.prank(NEWCOMER);
        registry.register{value: stakeWei}(index, vm.addr(key), possession);
    }

    function expectRegisterRefused(uint8 index, uint256 stakeWei, uint256 key, bytes4 reason) private {
        bytes memory possession = signDigest(key, operators.computePossessionDigest(NEWCOMER, vm.addr(key)));
        vm.deal(NEWCOMER, stakeWei);
        vm.prank(NEWCOMER);
        vm.expectPartialRevert(reason);
        operators.register{value: stakeWei}(index, vm.addr(key), possession);
    }

    function rotate(uint256 i, uint256 key) private {
        bytes memory possession = signDigest(key, operators.computePossessionDigest(operatorAt(i), vm.addr(key)));
        vm.prank(operatorAt(i));
        operators.rotateSigner(vm.addr(key), possession);
    }

    function slash(uint256 i, uint256 amountWei) private {
        vm.prank(SLASHER);
        operators.slash(operatorAt(i), amountWei, NEWCOMER);
    }

    function requireActive(OperatorRegistry registry, uint8 index, bool expected) private view {
        (,, bool isActive) = registry.signerAt(index);
        vm.assertEq(isActive, expected);
    }
}
